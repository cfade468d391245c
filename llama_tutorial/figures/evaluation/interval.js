// The interval around a score, by the number of questions; a second model beside it. The line of the
// number can be dragged along the funnel.
const setup = (figure) => {
  const { questions, intervals } = figure.data;
  const z95 = 1.96;
  const variance = (percent) => percent * (100 - percent);
  const half = (percent, n) => z95 * Math.sqrt(variance(percent) / n);

  // The share of a normal distribution below z, by Simpson's rule.
  const below = (z) => {
    const step = Math.min(z, 8) / intervals;
    const height = (i) => Math.exp(-((i * step) ** 2) / 2);
    let inner = 0;
    for (let i = 1; i < intervals; i++) inner += (i % 2 ? 4 : 2) * height(i);
    return 0.5 + ((step / 3) * (height(0) + inner + height(intervals))) / Math.sqrt(2 * Math.PI);
  };

  return ({ n, right, gap }) => {
    const svg = figure.svg(364, 300);
    const box = [46, 26, 352, 246];
    const [low, high] = [right - 20, right + 20];
    const inside = (value) => Math.min(high, Math.max(low, value));
    const plot = axes(svg, {
      x: [1, Math.log10(20000)], y: [low, high], box, xTicks: [],
      yTicks: ticks([low, high]).filter((v) => v >= 0 && v <= 100), yLabel: "right answers, %",
    });
    for (const power of [1, 2, 3, 4]) {
      const x = plot.x(power);
      draw(svg, "line", { x1: x, y1: box[1], x2: x, y2: box[3], class: "lt-grid" });
      const at = { x, y: box[3] + 15, "text-anchor": power === 1 ? "start" : "middle" };
      draw(svg, "text", at, (10 ** power).toLocaleString("en"));
    }
    draw(svg, "text", { x: 199, y: box[3] + 36, "text-anchor": "middle" }, "questions");

    const many = Array.from({ length: 67 }, (_, i) => 1 + (i * Math.log10(2000)) / 66);
    const edge = (sign) => many.map((x) => [x, inside(right + sign * half(right, 10 ** x))]);
    const around = [...edge(1), ...edge(-1).reverse()];
    const path = around.map(([x, y], i) => `${i ? "L" : "M"}${plot.x(x).toFixed(1)} ${plot.y(y).toFixed(1)}`);
    draw(svg, "path", { d: `${path.join("")}Z`, fill: color(0), "fill-opacity": 0.18 });
    plot.line([[1, right], [Math.log10(20000), right]], 0, { "stroke-width": 1 });

    const at = Math.log10(n);
    const bar = (percent, shift, i) => {
      const x = plot.x(at) + shift;
      const [top, bottom] = [1, -1].map((sign) => plot.y(inside(percent + sign * half(percent, n))));
      draw(svg, "line", { x1: x, y1: top, x2: x, y2: bottom, stroke: color(i), "stroke-width": 4 });
      draw(svg, "circle", { cx: x, cy: plot.y(percent), r: 6, fill: color(i) });
    };
    draw(svg, "line", { x1: plot.x(at), y1: box[1], x2: plot.x(at), y2: box[3], class: "lt-axis", "stroke-dasharray": "4 3" });
    bar(right, -6, 0);
    bar(right + gap, 6, 1);
    const handle = draw(svg, "rect", {
      x: plot.x(at) - 18, y: box[1], width: 36, height: box[3] - box[1], "fill-opacity": 0,
    });
    // The stops are far apart in numbers and near each other on the logarithmic axis.
    figure.drag(handle, (x, y) => {
      const place = plot.at(x, y)[0];
      const far = (stop) => Math.abs(Math.log10(stop) - place);
      return { n: questions.reduce((best, stop) => (far(stop) < far(best) ? stop : best)) };
    });

    const both = variance(right) + variance(right + gap);
    return {
      half: half(right, n), half_better: half(right + gap, n),
      wrong: 100 * (1 - below(gap / Math.sqrt(both / n))),
      needed: Math.ceil((z95 ** 2 * both) / gap ** 2),
    };
  };
};
