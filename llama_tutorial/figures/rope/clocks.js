// Eight pairs as clock hands: the angle of hand j at position m is m / base^(j / 8).
const setup = (figure) => {
  const { hands, visible } = figure.data;
  const full = 2 * Math.PI;

  const turnsText = (turns) => {
    if (turns >= 10) return `${turns.toFixed(0)} turns`;
    return turns >= 0.01 || turns === 0 ? `${turns.toFixed(2)} turns` : "< 0.01 turns";
  };

  // The position nearest to the present one at which a hand of this speed points there.
  const positionAt = (direction, speed, position) => {
    const turns = Math.round((position * speed - direction) / full);
    return Math.max(0, (direction + Math.max(0, turns) * full) / speed);
  };

  const drawDial = (svg, j, position, speed) => {
    const angle = position * speed;
    const cx = 55 + (j % 4) * 110;
    const cy = 70 + Math.floor(j / 4) * 140;
    const r = 42;
    const [x, y] = [cx + r * Math.cos(angle), cy - r * Math.sin(angle)];
    draw(svg, "text", { x: cx, y: cy - 52, "text-anchor": "middle" }, `pair ${j}`);
    draw(svg, "circle", { cx, cy, r, fill: "none", class: "lt-axis" });
    draw(svg, "line", { x1: cx, y1: cy, x2: cx + r, y2: cy, class: "lt-grid" });
    draw(svg, "line", { x1: cx, y1: cy, x2: x, y2: y, stroke: color(0), "stroke-width": 3 });
    draw(svg, "circle", { cx: x, cy: y, r: 5, fill: color(0) });
    draw(svg, "text", { x: cx, y: cy + 62, "text-anchor": "middle" }, turnsText(angle / full));
    figure.drag(draw(svg, "circle", { cx: x, cy: y, r: 18, fill: "none" }), (px, py) => {
      const direction = (Math.atan2(cy - py, px - cx) + full) % full;
      return { position: positionAt(direction, speed, position) };
    });
  };

  const drawVector = (svg, angles) => {
    const plot = axes(svg, {
      x: [-0.5, 2 * hands - 0.5], y: [-1, 1], box: [34, 300, 440, 380],
      xLabel: "feature", xTicks: Array.from({ length: 2 * hands }, (_, i) => i), yTicks: [-1, 0, 1],
    });
    angles.flatMap((angle) => [Math.cos(angle), Math.sin(angle)]).forEach((value, i) => {
      const top = Math.min(plot.y(value), plot.y(0));
      const height = Math.abs(plot.y(value) - plot.y(0));
      const look = i % 2 ? { fill: "none", stroke: color(0), "stroke-width": 1.8 } : { fill: color(0) };
      draw(svg, "rect", { x: plot.x(i) - 9, y: top, width: 18, height, ...look });
    });
  };

  return ({ position, base }) => {
    const speeds = Array.from({ length: hands }, (_, j) => base ** (-j / hands));
    const angles = speeds.map((speed) => position * speed);
    const turns = angles.map((angle) => angle / full);
    const svg = figure.svg(450, 420);
    speeds.forEach((speed, j) => drawDial(svg, j, position, speed));
    drawVector(svg, angles);
    return {
      degrees: angles.map((angle) => ((angle % full) * 360) / full),
      turns,
      moved: turns.filter((turn) => turn >= visible / 360).length,
      completed: turns.filter((turn) => turn >= 1).length,
    };
  };
};
