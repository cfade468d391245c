// RMSNorm over one axis or another: which outputs change when one token changes. The frame around
// the changed token can be dragged, which moves its slider.
const setup = (figure) => {
  const { x, other } = figure.data;
  const [T, D] = [x.length, x[0].length];
  const eps = 1e-5;

  // The root mean square that divides feature i of position t.
  const root = (table, over, t, i) => {
    const chosen = over === "features" ? table[t]
      : over === "positions" ? table.map((row) => row[i]) : table.flat();
    return Math.sqrt(chosen.reduce((total, v) => total + v * v, 0) / chosen.length + eps);
  };
  const normalised = (table, over) =>
    table.map((row, t) => row.map((value, i) => value / root(table, over, t, i)));

  const [left, top, side, tall] = [68, 40, 42, 40];  // the grid and its cells, in units
  const look = { fill: color(0), stroke: "var(--lt-ink)", "stroke-width": 0.6 };
  const ink = (change) => Math.min(1, Math.sqrt(change));  // a small change shall be seen

  // How much ink stands for how much change.
  const drawKey = (svg, y) => {
    draw(svg, "text", { x: left - 8, y: y + 14, "text-anchor": "end" }, "change");
    [0, 0.1, 0.5, 1].forEach((change, n) => {
      const x = left + n * 76;
      draw(svg, "rect", { x, y, width: 20, height: 20, "fill-opacity": ink(change), ...look, "data-key": "" });
      draw(svg, "text", { x: x + 26, y: y + 14 }, n === 3 ? "1 or more" : textOf(change));
    });
  };

  return ({ over, token }) => {
    const changed = x.map((row, t) => (t === Number(token) ? other : row));
    const [one, two] = [normalised(x, over), normalised(changed, over)];
    const change = one.map((row, t) => row.map((value, i) => Math.abs(value - two[t][i])));
    const changes = change.map((row) => Math.max(...row));

    const svg = figure.svg(412, 370);
    change.forEach((row, t) => row.forEach((value, i) => draw(svg, "rect", {
      x: left + t * side, y: top + i * tall, width: side, height: tall, "fill-opacity": ink(value), ...look,
    })));
    const bottom = top + D * tall;
    const middle = left + (Number(token) + 0.5) * side;
    draw(svg, "text", { x: Math.max(left + 24, Math.min(middle, 376)), y: top - 8, "text-anchor": "middle" }, "changed");
    x.forEach((_, t) => draw(svg, "text", {
      x: left + (t + 0.5) * side, y: bottom + 17, "text-anchor": "middle",
    }, String(t)));
    for (let i = 0; i < D; i += 1) {
      draw(svg, "text", { x: left - 8, y: top + (i + 0.5) * tall + 4, "text-anchor": "end" }, String(i));
    }
    draw(svg, "text", { x: left + (T * side) / 2, y: bottom + 36, "text-anchor": "middle" }, "position (tokens)");
    draw(svg, "text", { x: left - 8, y: top - 8, "text-anchor": "end" }, "feature");
    const frame = draw(svg, "rect", {
      x: left + token * side, y: top, width: side, height: D * tall,
      stroke: color(1), "stroke-width": 3, "fill-opacity": 0,
    });
    figure.drag(frame, (across) => ({ token: (across - left) / side - 0.5 }));
    drawKey(svg, bottom + 52);
    const [before, after] = [changes.slice(0, token), changes.slice(Number(token) + 1)];
    const noticed = (values) => values.filter((value) => value > 1e-9).length;
    return {
      earlier: before.length, told: noticed(before),
      later: after.length, told_later: noticed(after),
      leak: Math.max(0, ...before), changes,
    };
  };
};
