// Query heads and the key heads they share; weights and cache in memory.
const setup = (figure) => {
  const { models, bandwidth } = figure.data;
  const GIB = 2 ** 30;

  const perToken = ({ layers, width }, kv) => 2 * layers * kv * width * 2;
  const bytesOfWeights = ({ others, layers, dim, width }, kv) => 2 * (others + layers * 2 * dim * kv * width);

  const drawHeads = (svg, heads, kv) => {
    const group = heads / kv;
    const step = 340 / heads;
    const x = (head) => 5 + (head + 0.5) * step;
    draw(svg, "text", { x: 5, y: 14 }, `query heads: ${heads}, key and value heads: ${kv}`);
    for (let shared = 0; shared < kv; shared++) {
      const [first, last] = [shared * group, (shared + 1) * group - 1];
      const middle = (x(first) + x(last)) / 2;
      const paint = color(shared);
      for (let head = first; head <= last; head++) {
        draw(svg, "line", { x1: x(head), y1: 36, x2: middle, y2: 108, stroke: paint, "stroke-width": 1.2 });
        draw(svg, "circle", { cx: x(head), cy: 34, r: Math.min(5, step * 0.4), fill: paint });
      }
      const inset = Math.min(3, step * 0.15);
      const [from, to] = [x(first) - step / 2 + inset, x(last) + step / 2 - inset];
      draw(svg, "rect", { x: from, y: 108, width: to - from, height: 14, rx: 2, fill: paint });
    }
  };

  const drawBars = (svg, { weights, cache, most }, reach) => {
    const plot = axes(svg, { x: [0, reach], y: [0, 2], box: [62, 150, 332, 222], xLabel: "memory (GiB)", yTicks: [] });
    const bar = (value, y, look) =>
      draw(svg, "rect", { x: plot.x(0), y, width: Math.max(0.5, plot.x(value) - plot.x(0)), height: 24, ...look });
    for (const [name, y] of [["weights", 174], ["cache", 208]]) {
      draw(svg, "text", { x: 56, y, "text-anchor": "end" }, name);
    }
    bar(weights, 158, { fill: color(0) });
    bar(cache, 192, { fill: color(1) });
    bar(most, 192, { fill: "none", class: "lt-axis", "stroke-dasharray": "5 4" });
  };

  return ({ model, kv_heads, context, batch }) => {
    const sizes = models[model];
    figure.limit("kv_heads", Math.log2(sizes.heads));
    const kv = Math.min(kv_heads, sizes.heads);
    const cacheOf = (heads, tokens) => batch * tokens * perToken(sizes, heads);
    const [cache, weights] = [cacheOf(kv, context), bytesOfWeights(sizes, kv)];
    const most = cacheOf(sizes.heads, context);
    const reach = 1.05 * Math.max(cacheOf(sizes.heads, 4096), bytesOfWeights(sizes, sizes.heads)) / GIB;
    const svg = figure.svg(350, 262);
    drawHeads(svg, sizes.heads, kv);
    drawBars(svg, { weights: weights / GIB, cache: cache / GIB, most: most / GIB }, reach);
    return {
      heads: sizes.heads,
      kv,
      group: sizes.heads / kv,
      per_token: perToken(sizes, kv) / 1024,
      cache: cache / GIB,
      weights: weights / GIB,
      most: most / GIB,
      milliseconds: (1000 * (weights + cache)) / bandwidth,
    };
  };
};
