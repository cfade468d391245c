// How far the logits of a wrongly loaded model are off at each position, and what a test sees of it.
const setup = (figure) => {
  const { pieces, right, said, differences } = figure.data;
  const T = pieces.length;
  return ({ mistake, tokens }) => {
    const values = differences[mistake];
    const seen = Number(tokens);
    const svg = figure.svg(350, 290);
    const plot = axes(svg, {
      x: [-0.8, T - 0.2], y: [0, 1.08 * Math.max(...values)], box: [36, 30, 344, 216],
      xLabel: "position (tokens)", yLabel: "max |difference| of the logits",
    });
    const shade = { x: plot.x(-0.5), y: 30, width: plot.x(seen - 0.5) - plot.x(-0.5), height: 186 };
    draw(svg, "rect", { ...shade, fill: "var(--lt-ink)", "fill-opacity": 0.14 });
    values.forEach((value, position) => {
      const look = position < seen ? { r: 4.5, class: "lt-seen" } : { r: 3.5, fill: "none", stroke: "var(--lt-ink)" };
      plot.dot([position, value], 1, look);
    });
    const last = seen - 1;
    draw(svg, "text", { x: 8, y: 276 }, `after ${pieces[last]}: right ${right[last]}, wrong ${said[mistake][last]}`);
    const worst = Math.max(...values.slice(0, seen));
    return {
      worst, verdict: worst === 0 ? "it passes" : "it fails",
      token: pieces[last], right: right[last], said: said[mistake][last],
    };
  };
};
