// A text under which every token carries the weight that one position gives it, and the map of all.
const setup = (figure) => {
  const { pieces, weights, cells, faint } = figure.data;
  const side = cells / pieces.length;
  const rowOf = (triangle, i) => triangle.slice((i * (i + 1)) / 2, (i * (i + 1)) / 2 + i + 1);

  const look = (j) => {
    const slider = figure.inputs.find((input) => input.dataset.name === "query");
    slider.value = j;
    slider.dispatchEvent(new Event("input"));
  };

  const words = (row, query) => {
    const text = document.createElement("p");
    text.className = "lt-words";
    let whole = text;  // the pieces of one word stay on one line
    pieces.forEach((piece, j) => {
      if (piece.startsWith("▁") || !j) {
        text.append(" ");
        whole = text.appendChild(document.createElement("span"));
        whole.className = "lt-whole";
      }
      const word = document.createElement("span");
      word.className = `lt-word ${j === query ? "lt-asks" : j > query ? "lt-later" : ""}`;
      word.style.setProperty("--w", j > query ? 0 : row[j] / 1000);
      word.textContent = piece.replace(/^▁/, "");
      word.addEventListener("click", () => look(j));
      whole.append(word);
    });
    figure.stage.prepend(text);
  };

  const map = (triangle, query) => {
    const svg = figure.svg(340, 350);
    svg.classList.add("lt-map");
    const [left, top] = [30, 22];
    draw(svg, "text", { x: left, y: 14 }, "looks at …");
    draw(svg, "text", { x: 0, y: 0, transform: `translate(20 ${top + cells}) rotate(-90)` }, "… the position that looks");
    pieces.forEach((_, i) => rowOf(triangle, i).forEach((weight, j) => {
      if (weight < faint) return;
      const place = { x: left + j * side, y: top + i * side, width: side, height: side };
      draw(svg, "rect", { ...place, fill: color(0), opacity: weight / 1000 });
    }));
    const band = { x: left - 1, y: top + query * side - 1, width: (query + 1) * side + 2, height: side + 2 };
    draw(svg, "rect", { ...band, fill: "none", stroke: color(1), "stroke-width": 1.5 });
    draw(svg, "path", { d: `M${left} ${top}v${cells}h${cells}`, fill: "none", class: "lt-axis" });
  };

  return ({ layer, head, query }) => {
    const at = Number(query);
    const triangle = weights[layer - 1][head - 1];
    const row = rowOf(triangle, at);
    map(triangle, at);
    words(row, at);
    const best = row.map((_, j) => j).sort((a, b) => row[b] - row[a]).slice(0, 3);
    const looks = best.filter((j) => row[j]).map((j) => `“${pieces[j]}” (${textOf(row[j] / 10)} %)`);
    const whole = row.reduce((total, weight) => total + weight, 0);
    const back = row.reduce((total, weight, j) => total + (at - j) * weight, 0) / whole;
    return { token: pieces[at], looks, start: row[0] / 10, back };
  };
};
