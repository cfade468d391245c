// One pair of answers under DPO: how likely each is, as a place in a plane that can be dragged.
const setup = (figure) => {
  const { answers, path, lowest, tokens } = figure.data;
  const reference = path[0];
  const cells = 24;
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));
  const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

  const judged = (chosen, rejected, beta) => {
    const rewards = [beta * (chosen - reference[0]), beta * (rejected - reference[1])];
    const margin = rewards[0] - rewards[1];
    return {
      reward_chosen: rewards[0], reward_rejected: rewards[1], margin,
      percent: 100 * sigmoid(margin), loss: softplus(-margin), weight: sigmoid(-margin),
    };
  };

  const ground = (svg, plot, beta) => {
    const side = -lowest / cells;
    for (let row = 0; row < cells; row += 1) {
      for (let column = 0; column < cells; column += 1) {
        const [x, y] = [lowest + (column + 0.5) * side, lowest + (row + 0.5) * side];
        const share = 2 * sigmoid(judged(x, y, beta).margin) - 1;
        if (Math.abs(share) < 0.02) continue;
        const [left, top] = [plot.x(x - side / 2), plot.y(y + side / 2)];
        draw(svg, "rect", {
          x: left, y: top, width: plot.x(x + side / 2) - left, height: plot.y(y - side / 2) - top, class: "lt-cell",
          fill: color(share > 0 ? 0 : 1), opacity: 0.55 * Math.abs(share), "shape-rendering": "crispEdges",
        });
      }
    }
  };

  // The line on which the margin is a number: of slope 1, cut where the plane ends.
  const level = (svg, plot, margin, beta, more) => {
    const apart = margin / beta + reference[0] - reference[1]; // chosen less rejected
    const [low, high] = [Math.max(lowest, lowest + apart), Math.min(0, apart)];
    if (low >= high) return;
    const ends = { x1: plot.x(low), y1: plot.y(low - apart), x2: plot.x(high), y2: plot.y(high - apart) };
    draw(svg, "line", { ...ends, stroke: "var(--lt-ink)", ...more });
  };

  const bars = (svg, top, now, beta) => {
    const widest = Math.max(0.1, beta * Math.max(-lowest, 1));
    const [zero, half] = [236, 104];
    const rows = [["reward, right", now.reward_chosen, 0], ["reward, wrong", now.reward_rejected, 1], ["margin", now.margin, 2]];
    rows.forEach(([name, value, i], row) => {
      const y = top + 24 * row;
      const end = zero + Math.max(-1, Math.min(1, value / widest)) * half;
      draw(svg, "text", { x: 6, y: y + 12 }, name);
      draw(svg, "rect", { x: Math.min(zero, end), y, width: Math.abs(end - zero), height: 16, fill: color(i), opacity: 0.85 });
      draw(svg, "text", { x: 384, y: y + 12, "text-anchor": "end" }, textOf(value));
    });
    draw(svg, "line", { x1: zero, y1: top - 4, x2: zero, y2: top + 68, class: "lt-axis" });
  };

  const rows = (svg, top, columns, answer, i) => {
    draw(svg, "text", { x: 6, y: top, "font-weight": "bold", fill: color(i) }, answer);
    const width = 332 / columns.length;
    ["", "before", "after"].forEach((words, row) => draw(svg, "text", { x: 6, y: top + 18 * (row + 1) }, words));
    columns.forEach((column, n) => {
      column.forEach((value, row) => {
        const at = { x: 52 + width * (n + 0.5), y: top + 18 * (row + 1), "text-anchor": "middle" };
        const strong = row && value <= -0.3 ? { "font-weight": "bold" } : {};
        draw(svg, "text", { ...at, ...strong }, row ? textOf(value) : value);
      });
    });
  };

  return ({ chosen, rejected, beta }) => {
    [chosen, rejected, beta] = [chosen, rejected, beta].map(Number);
    const now = judged(chosen, rejected, beta);
    const svg = figure.svg(390, 640);
    const plot = axes(svg, {
      x: [lowest, 0], y: [lowest, 0], box: [40, 28, 340, 328],
      xLabel: "log-probability of the right answer (nats)", yLabel: "log-probability of the wrong answer (nats)",
    });
    ground(svg, plot, beta);
    level(svg, plot, 0, beta, { "stroke-width": 1.5, "stroke-dasharray": "6 4" });
    level(svg, plot, now.margin, beta, { "stroke-width": 1 });

    const trail = path.map(([x, y]) => [plot.x(x), plot.y(y)]);
    draw(svg, "path", { d: trail.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join(""), fill: "none", stroke: "var(--lt-ink)" });
    trail.slice(1).forEach(([x, y]) => draw(svg, "circle", { cx: x, cy: y, r: 3, fill: "var(--lt-ink)" }));
    const [startX, startY] = trail[0];
    draw(svg, "circle", { cx: startX, cy: startY, r: 6, fill: "none", stroke: "var(--lt-ink)", "stroke-width": 2 });
    draw(svg, "text", { x: startX - 12, y: startY + 4, "text-anchor": "end" }, "reference");

    const [x, y] = [plot.x(chosen), plot.y(rejected)];
    const pull = 64 * now.weight;
    const tip = [x + pull, y + pull];
    draw(svg, "line", { x1: x, y1: y, x2: tip[0], y2: tip[1], stroke: color(2), "stroke-width": 4 });
    draw(svg, "path", { d: `M${tip[0] + 5} ${tip[1] + 5}l-11 -3l8 -8z`, fill: color(2) });
    draw(svg, "circle", { cx: x, cy: y, r: 7, fill: "var(--lt-ink)" });
    figure.drag(draw(svg, "circle", { cx: x, cy: y, r: 18, fill: "transparent", stroke: "var(--lt-ink)", "stroke-dasharray": "3 3" }), (px, py) => {
      const [first, second] = plot.at(px, py);
      return { chosen: first, rejected: second };
    });

    bars(svg, 380, now, beta);
    tokens.forEach((columns, i) => rows(svg, 488 + 80 * i, columns, answers[i], i));
    return now;
  };
};
