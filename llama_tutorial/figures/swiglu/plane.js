// The output of one unit over two features. w1 points to the right, w3 is turned against it.
const setup = (figure) => {
  const { cells, wide, deepest, marks } = figure.data;
  const silu = (z) => z / (1 + Math.exp(-z));

  const unit = (kind, angle, x, y) => {
    const turn = (angle * Math.PI) / 180;
    const up = x * Math.cos(turn) + y * Math.sin(turn);
    return { gate: x, up, output: silu(x) * (kind === "plain" ? 1 : up) };
  };

  // How much ink a value gets: the root of its share, so that small values are seen beside large ones.
  const ink = (value) => Math.min(1, Math.sqrt(Math.abs(value) / deepest));
  const look = (value) => ({ fill: color(value > 0 ? 0 : 1), opacity: ink(value), "shape-rendering": "crispEdges" });

  const arrow = (svg, plot, name, [x, y], i, dash = {}, dy = 4) => {
    const from = { x1: plot.x(0), y1: plot.y(0) };
    draw(svg, "line", { ...from, x2: plot.x(2 * x), y2: plot.y(2 * y), stroke: color(i), "stroke-width": 3, ...dash });
    plot.dot([2 * x, 2 * y], i, { r: 5 });
    plot.label([2.35 * x, 2.35 * y], name, { "text-anchor": "middle", "font-weight": "bold", dy });
  };

  // The colours and their numbers, at the right of the picture.
  const bar = (svg, left, top, bottom) => {
    const [middle, half] = [(top + bottom) / 2, (bottom - top) / 2];
    const at = (value) => middle - Math.sign(value) * ink(value) * half;
    for (let y = top; y < bottom; y += 2) {
      const share = (middle - y - 1) / half;
      draw(svg, "rect", { x: left, y, width: 14, height: 2, ...look(Math.sign(share) * share ** 2 * deepest) });
    }
    draw(svg, "rect", { x: left, y: top, width: 14, height: bottom - top, fill: "none", stroke: "var(--lt-ink)" });
    for (const value of marks) {
      draw(svg, "text", { x: left + 19, y: at(value) + 4 }, textOf(value));
    }
    draw(svg, "text", { x: left + 44, y: top - 8, "text-anchor": "end" }, "output");
  };

  return ({ kind, angle, first, second }) => {
    const svg = figure.svg(406, 388);
    const plot = axes(svg, {
      x: [-wide, wide], y: [-wide, wide], box: [32, 26, 346, 340],
      xLabel: "feature x1", yLabel: "feature x2", xTicks: [-3, -2, -1, 0, 1, 2, 3], yTicks: [-3, -2, -1, 0, 1, 2, 3],
    });
    const side = (2 * wide) / cells;
    for (let row = 0; row < cells; row += 1) {
      for (let column = 0; column < cells; column += 1) {
        const [x, y] = [-wide + (column + 0.5) * side, -wide + (row + 0.5) * side];
        const { output } = unit(kind, angle, x, y);
        if (ink(output) < 0.02) continue;
        const [left, top] = [plot.x(x - side / 2), plot.y(y + side / 2)];
        const [width, height] = [plot.x(x + side / 2) - left, plot.y(y - side / 2) - top];
        draw(svg, "rect", { x: left, y: top, width, height, class: "lt-cell", ...look(output) });
      }
    }
    bar(svg, 356, 26, 340);
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
