// One hidden unit: the gate's value becomes a factor, the up value is multiplied by it.
const setup = (figure) => {
  const { lowest, reach, closed } = figure.data;
  const functions = {
    silu: (z) => z / (1 + Math.exp(-z)),
    sigmoid: (z) => 1 / (1 + Math.exp(-z)),
    relu: (z) => Math.max(z, 0),
    gelu: (z) => 0.5 * z * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3))),
    none: (z) => z,
  };
  const places = Array.from({ length: 10 * (reach - lowest) + 1 }, (_, i) => i / 10 + lowest);
  const within = (value) => Math.max(-reach, Math.min(reach, value));

  return ({ kind, gate, up }) => {
    const factor = functions[kind](gate);
    const passes = factor * up;
    const svg = figure.svg(450, 290);
    const left = axes(svg, {
      x: [lowest, reach], y: [-reach, reach], box: [36, 36, 214, 240],
      xLabel: "gate a", yLabel: "factor", xTicks: [-6, -4, -2, 0, 2, 4], yTicks: [-4, -2, 0, 2, 4],
    });
    left.line(places.map((place) => [place, functions[kind](place)]).filter(([, y]) => Math.abs(y) <= reach));
    left.dot([gate, within(factor)], 1, { r: 6, "fill-opacity": within(factor) === factor ? 1 : 0.4 });
    const right = axes(svg, {
      x: [-2, 2], y: [-reach, reach], box: [266, 36, 444, 240],
      xLabel: "up b", yLabel: "what leaves", xTicks: [-2, -1, 0, 1, 2], yTicks: [-4, -2, 0, 2, 4],
    });
    right.line([[-2, -2], [2, 2]], 0, { "stroke-dasharray": "2 4", stroke: "var(--lt-ink)", class: "lt-axis" });
    const end = Math.min(2, reach / Math.max(Math.abs(factor), 1e-9));  // where the line leaves the box
    right.line([[-end, -end * factor], [end, end * factor]]);
    right.dot([up, within(passes)], 1, { r: 6, "fill-opacity": within(passes) === passes ? 1 : 0.4 });
    const state = Math.abs(factor) < closed ? "closed" : factor > 0 ? "open" : "reversed";
    return { factor, passes, state };
  };
};
