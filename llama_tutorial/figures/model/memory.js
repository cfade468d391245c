// Gigabytes to hold a model, to answer with it, or to train it, beside what graphics cards have.
const setup = (figure) => {
  const { models, cards } = figure.data;
  const names = Object.keys(cards);

  return ({ model, use, width, texts }) => {
    const { params, cache } = models[model];
    const parts = {
      weights: (params * (use === "train" ? 4 : width)) / 1e9,
      cache: use === "answer" ? (cache * texts) / 1e9 : 0,
      training: use === "train" ? (params * 12) / 1e9 : 0,
    };
    const total = parts.weights + parts.cache + parts.training;
    const fits = names.find((name) => total <= cards[name]) ?? "no single card of these";

    const svg = figure.svg(400, 226);
    const end = Math.max(90, 1.05 * total);
    const plot = axes(svg, { x: [0, end], y: [0, 4], box: [92, 14, 388, 172], xLabel: "gigabytes", yTicks: [] });
    const row = (words, n) => {
      draw(svg, "text", { x: 84, y: plot.y(3.5 - n) + 4, "text-anchor": "end" }, words);
      return { y: plot.y(3.5 - n) - 12, height: 24 };
    };
    const needed = row("needed", 0);
    let from = 0;
    Object.values(parts).forEach((size, n) => {
      if (size === 0) return;
      const [x, to] = [plot.x(from), plot.x(from + size)];
      draw(svg, "rect", { ...needed, x, width: Math.max(1, to - x), fill: color([0, 2, 1][n]) });
      from += size;
    });
    names.forEach((name, n) => {
      const enough = total <= cards[name];
      draw(svg, "rect", {
        ...row(name, n + 1), x: plot.x(0), width: plot.x(cards[name]) - plot.x(0), fill: "none",
        stroke: "var(--lt-ink)", "stroke-width": enough ? 2.4 : 1, "stroke-dasharray": enough ? "none" : "4 4",
      });
    });
    const key = [["weights", 0], ["cache", 2], ["training", 1]].filter(([name]) => parts[name] > 0);
    key.forEach(([name, i], n) => {
      draw(svg, "rect", { x: 120 + 88 * n, y: 208, width: 12, height: 12, fill: color(i) });
      draw(svg, "text", { x: 137 + 88 * n, y: 219 }, name);
    });
    return { ...parts, total, fits };
  };
};
