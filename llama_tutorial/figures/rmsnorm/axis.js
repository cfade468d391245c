// RMSNorm over one axis or another: which outputs change when one token changes.
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

  return ({ over, token }) => {
    const changed = x.map((row, t) => (t === Number(token) ? other : row));
    const [one, two] = [normalised(x, over), normalised(changed, over)];
    const change = one.map((row, t) => row.map((value, i) => Math.abs(value - two[t][i])));
    const changes = change.map((row) => Math.max(...row));

    const svg = figure.svg(450, 305);
    const [left, top, side] = [64, 18, 44];
    const look = { fill: color(0), stroke: "var(--lt-ink)", "stroke-width": 0.6 };
    change.forEach((row, t) => row.forEach((value, i) => draw(svg, "rect", {
      x: left + t * side, y: top + i * side * 0.92, width: side, height: side * 0.92,
      "fill-opacity": Math.min(1, Math.sqrt(value)), ...look,  // a small change shall be seen
    })));
    draw(svg, "rect", {
      x: left + token * side, y: top, width: side, height: D * side * 0.92,
      fill: "none", stroke: color(1), "stroke-width": 3,
    });
    const bottom = top + D * side * 0.92;
    for (let t = 0; t < T; t += 1) {
      draw(svg, "text", { x: left + (t + 0.5) * side, y: bottom + 16, "text-anchor": "middle" }, `${t}`);
    }
    for (let i = 0; i < D; i += 1) {
      draw(svg, "text", { x: left - 8, y: top + (i + 0.55) * side * 0.92 + 4, "text-anchor": "end" }, `${i}`);
    }
    const middle = left + (T * side) / 2;
    draw(svg, "text", { x: middle, y: bottom + 35, "text-anchor": "middle" }, "position (tokens)");
    draw(svg, "text", { x: left - 8, y: top - 6, "text-anchor": "end" }, "feature");
    const [before, after] = [changes.slice(0, token), changes.slice(token + 1)];
    const noticed = (values) => values.filter((value) => value > 1e-9).length;
    return {
      earlier: before.length, told: noticed(before),
      later: after.length, told_later: noticed(after),
      leak: Math.max(0, ...before), changes,
    };
  };
};
