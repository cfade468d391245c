// Recorded trainings with one mistake each, beside the right one: what they report, and what is so.
const setup = (figure) => {
  const { runs, right, titles, before, total, every, verdicts } = figure.data;
  const looks = [{}, { "stroke-dasharray": "7 4" }];

  // A range that holds all values, with some room.
  const around = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = 0.12 * (high - low) || 0.05;
    return [low - room, high + room];
  };

  const panel = (svg, top, title, lines, last, xLabel) => {
    const plot = axes(svg, {
      x: [0, last], y: around(lines.flatMap(({ points }) => points.map(([, y]) => y))), box: [46, top, 374, top + 92],
      xTicks: xLabel ? undefined : [], yLabel: title, xLabel,
    });
    for (const { points, i } of lines) plot.line(points, i, looks[i]);
    return plot;
  };

  return ({ mistake, step }) => {
    const mine = runs[mistake];
    const other = right[mine.method];
    const last = every * mine.first.length;
    figure.limit("step", mine.first.length - 1);
    const at = Math.min(Number(step), last);
    const place = at / every - 1;

    const svg = figure.svg(390, 590);
    const pair = [other, mine];
    const means = (name) => pair.map((run, i) => ({ i, points: run[name].map((value, n) => [every * (n + 1), value]) }));
    const watched = (name) => pair.map((run, i) => ({ i, points: run[name].map((value, n) => [every * n, value]) }));
    const [firstTitle, secondTitle] = titles[mine.method];
    const plots = [
      panel(svg, 30, `${firstTitle}, as the run reports it`, means("first"), last, ""),
      panel(svg, 166, `${secondTitle}, as the run reports it`, means("second"), last, ""),
      panel(svg, 302, "log-probability of held-out answers (nats)", [...watched("chosen"), ...watched("rejected")], last, "step"),
    ];
    plots[2].label([0, other.chosen[0]], "right answers", { dx: 6, dy: 17 });
    plots[2].label([0, other.rejected[0]], "wrong answers", { dx: 6, dy: -8 });

    const across = plots[0].x(at);
    draw(svg, "line", { x1: across, y1: 30, x2: across, y2: 394, stroke: "var(--lt-ink)", "stroke-width": 1.5 });
    pair.forEach((run, i) => {
      plots[0].dot([at, run.first[place]], i);
      plots[1].dot([at, run.second[place]], i);
      plots[2].dot([at, run.chosen[place + 1]], i);
      plots[2].dot([at, run.rejected[place + 1]], i);
    });

    [["right run", 46], ["with the mistake", 190]].forEach(([name, left], i) => {
      draw(svg, "line", { x1: left, y1: 450, x2: left + 34, y2: 450, class: "lt-line", stroke: color(i), ...looks[i] });
      draw(svg, "text", { x: left + 42, y: 454 }, name);
    });

    draw(svg, "text", { x: 6, y: 490 }, `right answers about new tales, of ${total}`);
    [["before", before, 4], ["right run", other.right, 0], ["mistake", mine.right, 1]].forEach(([name, value, i], row) => {
      const y = 504 + 26 * row;
      draw(svg, "text", { x: 6, y: y + 13 }, name);
      draw(svg, "rect", { x: 84, y, width: (240 * value) / total, height: 17, fill: color(i), opacity: 0.85 });
      draw(svg, "text", { x: 92 + (240 * value) / total, y: y + 13 }, textOf(value));
    });
    draw(svg, "line", { x1: 84, y1: 500, x2: 84, y2: 578, class: "lt-axis" });

    const grip = draw(svg, "rect", { x: across - 18, y: 26, width: 36, height: 372, fill: "transparent" });
    figure.drag(grip, (x) => ({ step: plots[0].at(x, 0)[0] }));
    return {
      at, first_name: firstTitle, second_name: secondTitle,
      first: mine.first[place], second: mine.second[place],
      right_first: other.first[place], right_second: other.second[place],
      chosen: mine.chosen[place + 1], rejected: mine.rejected[place + 1],
      right: mine.right, right_right: other.right, before, total, verdict: verdicts[mistake],
    };
  };
};
