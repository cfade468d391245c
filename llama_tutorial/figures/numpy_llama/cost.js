// The least time of a token, with a cache and without one: memory's bound and arithmetic's.
const setup = (figure) => {
  const { models } = figure.data;

  const operations = ({ matrices, head, mixing }, tokens) => [
    2 * (tokens * matrices + head + mixing * tokens ** 2),
    2 * (matrices + head + mixing * tokens),
  ];
  const times = (model, tokens, ridge) => {
    const [naive, cached] = operations(model, tokens);
    const unit = 4 * model.read;
    return [Math.max(naive / ridge, unit) / unit, Math.max(cached / ridge, unit + tokens * model.cache) / unit];
  };
  const paysFrom = (model, ridge) => {
    for (let n = 1; n <= model.context; n++) {
      const [naive, cached] = times(model, n, ridge);
      if (naive > cached) return n;
    }
    return "no number of";
  };

  const drawLines = (svg, model, tokens, ridge) => {
    const lengths = Array.from({ length: Math.log2(model.context) * 4 + 1 }, (_, i) => 2 ** (i / 4));
    const [floor, top] = [-0.2, 3.8];
    const plot = axes(svg, { x: [0, Math.log2(4096)], y: [floor, top], box: [46, 28, 338, 250], xTicks: [], yTicks: [] });
    for (const n of [1, 4, 16, 64, 256, 1024, 4096]) {
      const x = plot.x(Math.log2(n));
      draw(svg, "line", { x1: x, y1: 28, x2: x, y2: 250, class: "lt-grid" });
      draw(svg, "text", { x, y: 266, "text-anchor": "middle" }, textOf(n));
    }
    for (const power of [0, 1, 2, 3]) {
      const y = plot.y(power);
      draw(svg, "line", { x1: 46, y1: y, x2: 338, y2: y, class: "lt-grid" });
      draw(svg, "text", { x: 40, y: y + 4, "text-anchor": "end" }, textOf(10 ** power));
    }
    draw(svg, "text", { x: 192, y: 286, "text-anchor": "middle" }, "length of the text (tokens)");
    draw(svg, "text", { x: 8, y: 16 }, "least time (readings of the weights)");
    const series = [["the whole text anew", 1, { "stroke-dasharray": "6 3" }], ["with a cache", 0, {}]];
    series.forEach(([name, paint, look], i) => {
      const points = lengths.map((n) => [Math.log2(n), Math.log10(times(model, n, ridge)[i])]);
      plot.line(points, paint, look);
      plot.dot([Math.log2(tokens), Math.log10(times(model, tokens, ridge)[i])], paint, { r: 5 });
      draw(svg, "line", { x1: 56, y1: 44 + 20 * i, x2: 86, y2: 44 + 20 * i, class: "lt-line", stroke: color(paint), ...look });
      draw(svg, "text", { x: 94, y: 48 + 20 * i }, name);
    });
  };

  return ({ model: name, tokens: asked, ridge }) => {
    const model = models[name];
    figure.limit("tokens", Math.log2(model.context));
    const tokens = Math.min(asked, model.context);
    const [naive, cached] = operations(model, tokens);
    const [naiveTime, cachedTime] = times(model, tokens, ridge);
    drawLines(figure.svg(350, 296), model, tokens, ridge);
    return {
      naive_ops: naive / 1e9,
      cached_ops: cached / 1e9,
      fewer: naive / cached,
      naive_time: naiveTime,
      cached_time: cachedTime,
      faster: naiveTime / cachedTime,
      bound: naiveTime > 1 ? "arithmetic" : "memory",
      pays: paysFrom(model, ridge),
    };
  };
};
