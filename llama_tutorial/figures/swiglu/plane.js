// The output of one unit over two features. w1 points to the right, w3 is turned against it.
const setup = (figure) => {
  const { cells, wide, deepest } = figure.data;
  const silu = (z) => z / (1 + Math.exp(-z));

  const unit = (kind, angle, x, y) => {
    const turn = (angle * Math.PI) / 180;
    const up = x * Math.cos(turn) + y * Math.sin(turn);
    return { gate: x, up, output: silu(x) * (kind === "plain" ? 1 : up) };
  };

  const arrow = (svg, plot, name, [x, y], i, dash = {}, dy = 4) => {
    const from = { x1: plot.x(0), y1: plot.y(0) };
    draw(svg, "line", { ...from, x2: plot.x(2 * x), y2: plot.y(2 * y), stroke: color(i), "stroke-width": 3, ...dash });
    plot.dot([2 * x, 2 * y], i, { r: 5 });
    plot.label([2.35 * x, 2.35 * y], name, { "text-anchor": "middle", "font-weight": "bold", dy });
  };

  return ({ kind, angle, first, second }) => {
    const svg = figure.svg(400, 400);
    const plot = axes(svg, {
      x: [-wide, wide], y: [-wide, wide], box: [40, 26, 370, 356],
      xLabel: "feature x1", yLabel: "feature x2", xTicks: [-3, -2, -1, 0, 1, 2, 3], yTicks: [-3, -2, -1, 0, 1, 2, 3],
    });
    const side = (2 * wide) / cells;
    for (let row = 0; row < cells; row += 1) {
      for (let column = 0; column < cells; column += 1) {
        const [x, y] = [-wide + (column + 0.5) * side, -wide + (row + 0.5) * side];
        const { output } = unit(kind, angle, x, y);
        const opacity = Math.min(1, Math.abs(output) / deepest);
        if (opacity < 0.005) continue;
        const [left, top] = [plot.x(x - side / 2), plot.y(y + side / 2)];
        const [width, height] = [plot.x(x + side / 2) - left, plot.y(y - side / 2) - top];
        const look = { fill: color(output > 0 ? 0 : 1), opacity, "shape-rendering": "crispEdges" };
        draw(svg, "rect", { x: left, y: top, width, height, ...look });
      }
    }
    const turn = (angle * Math.PI) / 180;
    arrow(svg, plot, "w1", [1, 0], 2);
    const below = angle === 0 ? 20 : 4;  // where it lies on w1
    if (kind === "gated") {
      arrow(svg, plot, "w3", [Math.cos(turn), Math.sin(turn)], 3, { "stroke-dasharray": "7 4" }, below);
      const tip = { cx: plot.x(2 * Math.cos(turn)), cy: plot.y(2 * Math.sin(turn)), r: 16, fill: "none" };
      figure.drag(draw(svg, "circle", tip), (px, py) => {
        const [x, y] = plot.at(px, py);
        return { angle: (Math.atan2(Math.max(y, 0), x) * 180) / Math.PI };
      });
    }
    const [px, py] = [plot.x(first), plot.y(second)];
    const cross = { stroke: "var(--lt-ink)", "stroke-width": 3 };
    draw(svg, "line", { x1: px - 7, y1: py - 7, x2: px + 7, y2: py + 7, ...cross });
    draw(svg, "line", { x1: px - 7, y1: py + 7, x2: px + 7, y2: py - 7, ...cross });
    const ring = { cx: px, cy: py, r: 16, fill: "none", stroke: "var(--lt-ink)", "stroke-dasharray": "3 3" };
    figure.drag(draw(svg, "circle", ring), (x, y) => {
      [x, y] = plot.at(x, y);
      return { first: x, second: y };
    });
    return unit(kind, angle, first, second);
  };
};
