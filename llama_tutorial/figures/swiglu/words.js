// A hidden unit of a trained model along a text: factor, up value and their product.
const setup = (figure) => {
  const { pieces, gates, ups, closed } = figure.data;
  const silu = (z) => z / (1 + Math.exp(-z));
  const step = 450 / (pieces.length + 2.4);
  const bottom = 352 + 8 * Math.max(...pieces.map((piece) => piece.length));
  const at = (place) => (place + 2.4) * step;

  const bars = (svg, name, values, middle, half, i) => {
    const most = Math.max(...values.map(Math.abs), 1e-9);
    draw(svg, "text", { x: 0, y: middle - half - 8 }, `${name}: largest ${textOf(most)}`);
    values.forEach((value, n) => {
      const height = (Math.abs(value) / most) * half;
      const y = value > 0 ? middle - height : middle;
      draw(svg, "rect", { x: at(n) - 0.4 * step, y, width: 0.8 * step, height, fill: color(i) });
    });
    draw(svg, "line", { x1: at(-0.6), y1: middle, x2: at(pieces.length - 0.4), y2: middle, class: "lt-axis" });
  };

  return ({ layer, unit, place }) => {
    const [a, b] = [gates[layer][unit - 1], ups[layer][unit - 1]];
    const factors = a.map(silu);
    const out = factors.map((factor, n) => factor * b[n]);
    const svg = figure.svg(450, bottom + 6);
    const shade = { fill: "var(--lt-ink)", opacity: 0.18 };
    draw(svg, "rect", { x: at(place) - step / 2, y: 24, width: step, height: bottom - 24, ...shade });
    bars(svg, "factor", factors, 68, 40, 0);
    bars(svg, "up", b, 182, 40, 2);
    bars(svg, "out", out, 296, 40, 1);
    pieces.forEach((word, n) => {
      const [x, y] = [at(n) + 4, 350];
      draw(svg, "text", { x, y, transform: `rotate(90 ${x - 4} ${y - 4})` }, word);
    });
    const factor = factors[place];
    const most = Math.max(...factors);
    return {
      word: pieces[place], gate: a[place], factor, up: b[place], passes: out[place],
      state: Math.abs(factor) < closed ? "closed" : factor > 0 ? "open" : "reversed",
      widest: pieces[factors.indexOf(most)], most,
    };
  };
};
