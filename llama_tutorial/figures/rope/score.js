// One query and one key, turned by their positions; the score and what each pair adds to it.
const setup = (figure) => {
  const { query, key, widest, trained } = figure.data;
  const half = query.length / 2;

  const turned = (x, position) => Array.from({ length: half }, (_, j) => {
    const angle = position * 10000 ** (-j / half);
    const [a, b] = [x[2 * j], x[2 * j + 1]];
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    return [a * cos - b * sin, a * sin + b * cos];
  });

  const partsOf = (q, k) => q.map(([a, b], j) => (a * k[j][0] + b * k[j][1]) / Math.sqrt(2 * half));
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

  const curve = Array.from({ length: widest + 1 }, (_, distance) =>
    [distance, sum(partsOf(turned(query, distance), turned(key, 0)))]);
  const reach = Math.ceil(Math.max(...curve.map(([, value]) => Math.abs(value))) / 5) * 5;

  const signed = (number) =>
    Math.abs(number) < 0.05 ? "0.0" : `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(1)}`;

  const drawHand = (svg, cx, cy, r, [a, b], i) => {
    const length = Math.hypot(a, b);
    const [x, y] = [cx + (r * a) / length, cy - (r * b) / length];
    const dash = i ? { "stroke-dasharray": "6 4" } : {};
    draw(svg, "line", { x1: cx, y1: cy, x2: x, y2: y, stroke: color(i), "stroke-width": 3, ...dash });
    draw(svg, "circle", { cx: x, cy: y, r: 5, fill: color(i) });
  };

  return ({ m, n, both }) => {
    figure.limit("n", m);  // no query sees a later key
    const [q, k] = [turned(query, m + both), turned(key, n + both)];
    const parts = partsOf(q, k);
    const score = sum(parts);
    const svg = figure.svg(450, 430);
    parts.forEach((part, j) => {
      const [cx, cy, r] = [55 + j * 110, 70, 42];
      draw(svg, "text", { x: cx, y: cy - 52, "text-anchor": "middle" }, `pair ${j}`);
      draw(svg, "circle", { cx, cy, r, fill: "none", class: "lt-axis" });
      drawHand(svg, cx, cy, r, q[j], 0);
      drawHand(svg, cx, cy, r, k[j], 1);
      draw(svg, "text", { x: cx, y: cy + 62, "text-anchor": "middle" }, signed(part));
    });
    const box = [44, 185, 440, 385];
    const shade = { fill: "var(--lt-ink)", opacity: 0.13 };
    const plot = axes(svg, {
      x: [0, widest], y: [-reach, reach], box, xLabel: "distance m − n (tokens)", yLabel: "score",
    });
    const width = plot.x(trained - 1) - plot.x(0);
    draw(svg, "rect", { x: box[0], y: box[1], width, height: box[3] - box[1], ...shade });
    plot.line(curve);
    plot.dot([m - n, score], 1, { r: 6 });
    return { query: m + both, key: n + both, distance: m - n, parts, score };
  };
};
