// A hidden unit of a trained model along a text, a line a piece: factor, b and their product.
const setup = (figure) => {
  const { pieces, gates, ups, closed } = figure.data;
  const silu = (z) => z / (1 + Math.exp(-z));
  const [step, top, across] = [19, 46, 100];  // height of a line, of the heads, and width of a column
  const bottom = top + step * pieces.length;
  const middle = (column) => 120 + 108 * column;

  const bars = (svg, column, name, values, i) => {
    const most = Math.max(...values.map(Math.abs), 1e-9);
    const zero = middle(column);
    draw(svg, "text", { x: zero, y: 16, "text-anchor": "middle", "font-weight": "bold" }, name);
    draw(svg, "text", { x: zero, y: 34, "text-anchor": "middle" }, `up to ${textOf(most)}`);
    values.forEach((value, n) => {
      const width = ((Math.abs(value) / most) * across) / 2;
      const x = value > 0 ? zero : zero - width;
      draw(svg, "rect", { x, y: top + n * step + 3, width, height: step - 6, fill: color(i) });
    });
    draw(svg, "line", { x1: zero, y1: top, x2: zero, y2: bottom, class: "lt-axis" });
  };

  return ({ layer, unit, place }) => {
    const [a, b] = [gates[layer][unit - 1], ups[layer][unit - 1]];
    const factors = a.map(silu);
    const out = factors.map((factor, n) => factor * b[n]);
    const svg = figure.svg(390, bottom + 4);
    const shade = { fill: "var(--lt-ink)", opacity: 0.18 };
    draw(svg, "rect", { x: 0, y: top + place * step, width: 390, height: step, ...shade });
    bars(svg, 0, "SiLU(a)", factors, 0);
    bars(svg, 1, "b", b, 2);
    bars(svg, 2, "SiLU(a) · b", out, 1);
    pieces.forEach((word, n) => draw(svg, "text", { x: 2, y: top + n * step + 14 }, word));
    svg.addEventListener("click", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const line = Math.floor((at.y - top) / step);
      if (line >= 0 && line < pieces.length) figure.set({ place: line });
    });
    const factor = factors[place];
    const most = Math.max(...factors);
    return {
      word: pieces[place], gate: a[place], factor, up: b[place], passes: out[place],
      state: Math.abs(factor) < closed ? "closed" : factor > 0 ? "open" : "reversed",
      widest: pieces[factors.indexOf(most)], most,
    };
  };
};
