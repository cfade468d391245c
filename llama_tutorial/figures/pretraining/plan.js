// How long a training run takes, on a scale from a minute to centuries, and what each GPU holds.
const setup = (figure) => {
  const { models, cards: kinds, units, marks, state } = figure.data;

  const timeText = (seconds) => {
    const [unit, size] = units.find(([, size]) => seconds >= 2 * size) ?? units.at(-1);
    return `${textOf(seconds / size)} ${unit}`;
  };

  const memoryText = (gb) => (gb >= 1 ? `${textOf(gb)} GB` : `${textOf(gb * 1000)} MB`);

  return ({ model, tokens, card, cards, utilisation }) => {
    const { flops, gb, watts } = kinds[card];
    const operations = 6 * models[model] * tokens * 1e9;
    const seconds = operations / ((cards * flops * utilisation) / 100);
    const hours = (seconds * cards) / 3600;
    const memory = (state * models[model]) / cards / 1e9;
    const fits = memory < gb;

    const svg = figure.svg(400, 250);
    const [left, right] = [10, 388];
    const at = (time) => left + (Math.log10(time) / 11) * (right - left);
    draw(svg, "text", { x: left, y: 14 }, "time");
    draw(svg, "rect", { x: left, y: 24, width: Math.max(1, at(seconds) - left), height: 30, fill: color(0) });
    for (const [n, [name, size]] of marks.entries()) {
      draw(svg, "line", { x1: at(size), y1: 20, x2: at(size), y2: 64, class: "lt-grid" });
      draw(svg, "text", { x: at(size), y: n % 2 ? 94 : 78, "text-anchor": "middle" }, name);
    }
    const end = Math.max(1.2 * gb, 1.05 * memory);
    draw(svg, "text", { x: left, y: 138 }, "each GPU: weights, gradients, AdamW");
    const plot = axes(svg, { x: [0, end], y: [0, 1], box: [left, 150, right, 204], xLabel: "GB; the frame is what a GPU has", yTicks: [] });
    const width = Math.max(1, plot.x(memory) - plot.x(0));
    draw(svg, "rect", { x: left, y: 162, width, height: 30, fill: color(fits ? 2 : 1) });
    const frame = { fill: "none", stroke: "var(--lt-ink)", "stroke-width": 2 };
    draw(svg, "rect", { x: left, y: 156, width: plot.x(gb) - left, height: 42, ...frame });
    return {
      operations, seconds, took: timeText(seconds), gpu_hours: hours, mwh: (hours * watts) / 1e6,
      per_parameter: (tokens * 1e9) / models[model], memory, each: memoryText(memory),
      fits: fits ? "it fits" : "too much",
    };
  };
};
