// One hidden unit: the gate a becomes a factor, and b is multiplied by it.
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

  // A dot on a curve that can be dragged along it.
  const handle = (svg, plot, at, values) => {
    const inside = within(at[1]) === at[1];
    plot.dot([at[0], within(at[1])], 1, { r: 6, "fill-opacity": inside ? 1 : 0.4 });
    const ring = { cx: plot.x(at[0]), cy: plot.y(within(at[1])), r: 16, fill: "none", stroke: color(1), "stroke-dasharray": "3 3" };
    figure.drag(draw(svg, "circle", ring), (x, y) => values(plot.at(x, y)[0]));
  };

  return ({ kind, gate, up }) => {
    const factor = functions[kind](gate);
    const passes = factor * up;
    const svg = figure.svg(350, 270);
    const left = axes(svg, {
      x: [lowest, reach], y: [-reach, reach], box: [26, 26, 164, 226],
      xLabel: "gate a", yLabel: "factor", xTicks: [-6, -4, -2, 0, 2, 4], yTicks: [-4, -2, 0, 2, 4],
    });
    left.line(places.map((place) => [place, functions[kind](place)]).filter(([, y]) => Math.abs(y) <= reach));
    handle(svg, left, [gate, factor], (x) => ({ gate: x }));
    const right = axes(svg, {
      x: [-2, 2], y: [-reach, reach], box: [206, 26, 344, 226],
      xLabel: "b", yLabel: "factor · b", xTicks: [-2, -1, 0, 1, 2], yTicks: [-4, -2, 0, 2, 4],
    });
    right.line([[-2, -2], [2, 2]], 0, { "stroke-dasharray": "2 4", stroke: "var(--lt-ink)", class: "lt-axis" });
    const end = Math.min(2, reach / Math.max(Math.abs(factor), 1e-9));  // where the line leaves the box
    right.line([[-end, -end * factor], [end, end * factor]]);
    handle(svg, right, [up, passes], (x) => ({ up: x }));
    const state = Math.abs(factor) < closed ? "closed" : factor > 0 ? "open" : "reversed";
    return { factor, passes, state };
  };
};
