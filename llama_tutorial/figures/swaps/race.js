// The recorded training losses of the chain, minus those of GPT, and what a stop at one step tells.
const setup = (figure) => {
  const { stride, curves, untied, before } = figure.data;
  const names = Object.keys(curves);
  const steps = stride * curves.GPT.length;
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);

  return ({ step }) => {
    step = Number(step);
    const at = step / stride - 1;
    const loss = (name) => curves[name][at];
    const best = names.reduce((one, other) => (loss(other) < loss(one) ? other : one));

    const svg = figure.svg(390, 352);
    const plot = axes(svg, {
      x: [0, steps], y: [-0.9, 0.2], box: [42, 26, 374, 214],
      xTicks: [0, 200, 400, 600, 800], yTicks: [-0.8, -0.6, -0.4, -0.2, 0, 0.2],
      xLabel: "step", yLabel: "nats against GPT",
    });
    const points = (name) => curves[name].map((value, i) => [stride * (i + 1), (value - curves.GPT[i]) / 1000]);
    const dashes = ["", "7 4", "2 3", "9 3 2 3", "4 2"];
    draw(svg, "line", { x1: plot.x(0), y1: plot.y(0), x2: plot.x(steps), y2: plot.y(0), class: "lt-axis" });
    const others = names.filter((name) => name !== "GPT");
    others.forEach((name, i) => plot.line(points(name), i, { "stroke-dasharray": dashes[i] }));
    const across = plot.x(step);
    draw(svg, "line", { x1: across, y1: 26, x2: across, y2: 214, stroke: "var(--lt-ink)", "stroke-width": 1.5 });
    others.forEach((name, i) => plot.dot(points(name)[at], i, { r: 4 }));

    const ranked = [...others].sort((one, other) => loss(one) - loss(other) || others.indexOf(one) - others.indexOf(other));
    ranked.forEach((name, row) => {
      const [i, y] = [others.indexOf(name), 268 + 19 * row];
      draw(svg, "line", { x1: 42, y1: y - 4, x2: 76, y2: y - 4, class: "lt-line", stroke: color(i), "stroke-dasharray": dashes[i] });
      draw(svg, "text", { x: 84, y }, name);
      draw(svg, "text", { x: 286, y, "text-anchor": "end" }, signed(points(name)[at][1]));
    });

    const grip = draw(svg, "rect", { x: across - 18, y: 22, width: 36, height: 196, fill: "transparent" });
    figure.drag(grip, (x) => ({ step: plot.at(x, 0)[0] }));
    return {
      steps, best, lead: (loss("GPT") - loss(best)) / 1000,
      untied: signed((loss(untied) - loss(before)) / 1000),
    };
  };
};
