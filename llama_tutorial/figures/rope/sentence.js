// A sentence: every word has a query and a key, turned by its position or added to a table's row.
const setup = (figure) => {
  const { words, queries, keys, table, speed, front: most } = figure.data;
  const place = ([a, b], position, way) => {
    if (way === "add") return [a + table[position][0], b + table[position][1]];
    const angle = (speed * position * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    return [a * cos - b * sin, a * sin + b * cos];
  };
  const dot = ([a, b], [c, d]) => a * c + b * d;
  const direction = ([a, b]) => Math.atan2(b, a);

  const arrow = (svg, [cx, cy, r], [a, b], i, letter, opacity = 1) => {
    const [x, y] = [cx + 0.75 * r * a, cy - 0.75 * r * b];  // a sum can be longer than what is added to
    const dash = i ? { "stroke-dasharray": "5 3" } : {};
    const width = r > 40 ? 3.5 : 2.5;
    draw(svg, "line", { x1: cx, y1: cy, x2: x, y2: y, stroke: color(i), "stroke-width": width, opacity, ...dash });
    draw(svg, "circle", { cx: x, cy: y, r: width + 0.5, fill: color(i), opacity });
    const length = Math.hypot(a, b) || 1;
    const [dx, dy] = [(9 * a) / length, (-9 * b) / length];
    const look = { x: x + dx, y: y + dy + 4, "text-anchor": "middle", style: `fill: ${color(i)}` };
    draw(svg, "text", look, letter);
  };

  const word = (svg, i, { front, way, query, key }) => {
    const dial = [39 + 74.4 * i, 69, 29];
    const chosen = i === query || i === key;
    const group = draw(svg, "g", { style: "cursor: pointer" });
    draw(group, "rect", { x: dial[0] - 35, y: 4, width: 70, height: 124, rx: 6, fill: "transparent", class: chosen ? "lt-axis" : "" });
    draw(group, "text", { x: dial[0], y: 20, "text-anchor": "middle", "font-weight": 600 }, words[i]);
    draw(group, "circle", { cx: dial[0], cy: dial[1], r: dial[2], fill: "none", class: "lt-grid" });
    arrow(group, dial, place(keys[i], i + front, way), 1, "k");
    arrow(group, dial, place(queries[i], i + front, way), 0, "q");
    draw(group, "text", { x: dial[0], y: 122, "text-anchor": "middle" }, `at ${i + front}`);
    group.addEventListener("click", () => figure.set(i < query ? { key: i } : { query: i }));
  };

  const drawPair = (svg, q, k, { query, key }) => {
    const dial = [92, 256, 62];
    const [from, to] = [direction(k), direction(q)];
    const turn = ((((to - from) % (2 * Math.PI)) + 3 * Math.PI) % (2 * Math.PI)) - Math.PI;
    const arc = Array.from({ length: 25 }, (_, i) => from + (turn * i) / 24)
      .map((angle, i) => `${i ? "L" : "M"}${dial[0] + 26 * Math.cos(angle)} ${dial[1] - 26 * Math.sin(angle)}`);
    draw(svg, "circle", { cx: dial[0], cy: dial[1], r: dial[2], fill: "none", class: "lt-grid" });
    draw(svg, "path", { d: arc.join(""), fill: "none", class: "lt-axis", style: "stroke-width: 2" });
    arrow(svg, dial, k, 1, "k");
    arrow(svg, dial, q, 0, "q");
    draw(svg, "text", { x: dial[0], y: 166, "text-anchor": "middle" }, `q of “${words[query]}”, k of “${words[key]}”`);
  };

  return ({ front, way, query, key }) => {
    figure.limit("key", query);  // no query sees a later key
    const state = { front, way, query, key };
    const score = (shift) =>
      dot(place(queries[query], query + shift, way), place(keys[key], key + shift, way));
    const [q, k] = [place(queries[query], query + front, way), place(keys[key], key + front, way)];
    const svg = figure.svg(450, 350);
    words.forEach((_, i) => word(svg, i, state));
    drawPair(svg, q, k, state);
    const plot = axes(svg, {
      x: [0, most], y: [-3, 3], box: [216, 182, 434, 312], xLabel: "words put in front",
      yLabel: "score of the two", yTicks: [-2, 0, 2],
    });
    plot.line(Array.from({ length: most + 1 }, (_, shift) => [shift, score(shift)]));
    plot.dot([front, score(front)], 1, { r: 7 });
    const handle = plot.dot([front, score(front)], 1, { r: 18, fill: "none" });
    figure.drag(handle, (x, y) => ({ front: plot.at(x, y)[0] }));
    const apart = (Math.abs(direction(q) - direction(k)) * 180) / Math.PI;
    return { m: query + front, n: key + front, angle: Math.min(apart, 360 - apart), score: score(front) };
  };
};
