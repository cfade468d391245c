// One query and one key, turned by their positions; the score, its softmax, and what each pair adds.
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
    sum(partsOf(turned(query, distance), turned(key, 0))));
  const reach = Math.ceil(Math.max(...curve.map(Math.abs)) / 5) * 5;

  const softmax = (scores) => {
    const most = Math.max(...scores);
    const powers = scores.map((score) => Math.exp(score - most));
    return powers.map((power) => power / sum(powers));
  };

  const signed = (number) =>
    Math.abs(number) < 0.05 ? "0.0" : `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(1)}`;

  const drawHand = (svg, cx, cy, r, [a, b], i) => {
    const length = Math.hypot(a, b);
    const [x, y] = [cx + (r * a) / length, cy - (r * b) / length];
    const dash = i ? { "stroke-dasharray": "6 4" } : {};
    draw(svg, "line", { x1: cx, y1: cy, x2: x, y2: y, stroke: color(i), "stroke-width": 3, ...dash });
    draw(svg, "circle", { cx: x, cy: y, r: 5, fill: color(i) });
  };

  const drawWeights = (svg, weights, distance, box) => {
    const plot = axes(svg, {
      x: [0, widest], y: [0, 1], box, xLabel: "distance m − n (tokens)", yLabel: "attention weight",
      yTicks: [0, 0.5, 1],
    });
    weights.forEach((weight, d) => {
      const look = { stroke: color(d === distance ? 1 : 0), "stroke-width": d === distance ? 3.5 : 2.5 };
      draw(svg, "line", { x1: plot.x(d), x2: plot.x(d), y1: plot.y(0), y2: plot.y(weight), ...look });
    });
    plot.dot([distance, weights[distance]], 1, { r: 5 });
    return [plot, plot.dot([distance, weights[distance]], 1, { r: 18, fill: "none" })];
  };

  return ({ m, n, both }) => {
    figure.limit("n", m);  // no query sees a later key
    const [q, k] = [turned(query, m + both), turned(key, n + both)];
    const parts = partsOf(q, k);
    const score = sum(parts);
    const weights = softmax(curve.slice(0, m + 1));
    const svg = figure.svg(450, 500);
    parts.forEach((part, j) => {
      const [cx, cy, r] = [55 + j * 110, 70, 42];
      draw(svg, "text", { x: cx, y: cy - 52, "text-anchor": "middle" }, `pair ${j}`);
      draw(svg, "circle", { cx, cy, r, fill: "none", class: "lt-axis" });
      drawHand(svg, cx, cy, r, q[j], 0);
      drawHand(svg, cx, cy, r, k[j], 1);
      draw(svg, "text", { x: cx, y: cy + 62, "text-anchor": "middle" }, signed(part));
    });
    const box = [44, 175, 432, 320];
    const shade = { fill: "var(--lt-ink)", opacity: 0.13 };
    const plot = axes(svg, { x: [0, widest], y: [-reach, reach], box, yLabel: "score" });
    const width = plot.x(trained - 1) - plot.x(0);
    draw(svg, "rect", { x: box[0], y: box[1], width, height: box[3] - box[1], ...shade });
    plot.line(curve.map((value, distance) => [distance, value]));
    plot.dot([m - n, score], 1, { r: 7 });
    const below = drawWeights(svg, weights, m - n, [44, 372, 432, 462]);
    for (const [where, handle] of [below, [plot, plot.dot([m - n, score], 1, { r: 18, fill: "none" })]]) {
      figure.drag(handle, (x, y) => ({ n: m - Math.min(m, Math.max(0, where.at(x, y)[0])) }));
    }
    return {
      query: m + both, key: n + both, distance: m - n, parts, score, percent: 100 * weights[m - n],
    };
  };
};
