// Temperature, top-k and top-p over a model's logits, and the draw of one token.
const setup = (figure) => {
  const { logits, pieces, bars } = figure.data;
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const softmax = (z) => {
    const top = Math.max(...z);
    const powers = z.map((x) => Math.exp(x - top));
    const whole = sum(powers);
    return powers.map((x) => x / whole);
  };

  // The probabilities before the cuts and after them, and all tokens, likeliest first.
  const cutOff = (z, temperature, k, p) => {
    const before = softmax(z.map((x) => x / temperature));
    const order = z.map((_, i) => i).sort((a, b) => z[b] - z[a]);  // among equals the first
    const best = order.slice(0, k === "all" ? z.length : k);
    const whole = sum(best.map((i) => before[i]));
    let above = 0;
    const kept = best.filter((i) => {
      const stays = p === 1 || above / whole <= p;
      above += before[i];
      return stays;
    });
    const share = sum(kept.map((i) => before[i]));
    const after = z.map(() => 0);
    for (const i of kept) after[i] = before[i] / share;
    return { before, after, order };
  };

  // The token into whose share of the unit interval u falls.
  const drawAt = (after, u) => {
    let reached = 0;
    const ends = after.map((share) => (reached += share));
    return ends.findIndex((end) => end > u * reached);
  };

  const barsOf = (svg, own, after, best) => {
    const [left, right, step] = [84, 322, 23];
    const longest = Math.max(...best.map((i) => Math.max(own[i], after[i])));
    const width = (share) => (share / longest) * (right - left);
    best.forEach((i, row) => {
      const y = 8 + row * step;
      const strike = after[i] ? {} : { "text-decoration": "line-through" };
      draw(svg, "text", { x: left - 8, y: y + 13, "text-anchor": "end", ...strike }, pieces[i]);
      draw(svg, "rect", { x: left, y, width: width(after[i]), height: 17, fill: color(0) });
      draw(svg, "rect", { x: left, y, width: width(own[i]), height: 17, fill: "none", stroke: "var(--lt-ink)" });
      const end = left + width(Math.max(own[i], after[i])) + 6;
      draw(svg, "text", { x: end, y: y + 13 }, after[i] ? `${textOf(100 * after[i])} %` : "cut");
    });
    return 8 + best.length * step;
  };

  const stripOf = (svg, after, drawn, u, top) => {
    const [left, right, height] = [14, 376, 26];
    const kept = after.map((share, i) => [share, i]).filter(([share]) => share > 0);
    let start = left;
    kept.forEach(([share, i], n) => {
      const width = share * (right - left);
      const fill = color(i === drawn ? 1 : n % 2 ? 0 : 4);
      draw(svg, "rect", { x: start, y: top, width, height, fill, opacity: i === drawn ? 0.9 : 0.3, class: "lt-share" });
      if (width > 10 * pieces[i].length && i !== drawn)
        draw(svg, "text", { x: start + width / 2, y: top + 18, "text-anchor": "middle" }, pieces[i]);
      start += width;
    });
    const x = left + u * (right - left);
    draw(svg, "path", { d: `M${x} ${top}l-6 -10h12z`, fill: color(1) });
    const anchor = u < 0.2 ? "start" : u > 0.8 ? "end" : "middle";
    draw(svg, "text", { x, y: top - 15, "text-anchor": anchor }, `${textOf(u)} draws ${pieces[drawn]}`);
    draw(svg, "text", { x: left, y: top + height + 16, "text-anchor": "middle" }, "0");
    draw(svg, "text", { x: right, y: top + height + 16, "text-anchor": "middle" }, "1");
  };

  return ({ place, temperature, k, p, u }) => {
    const z = logits[place];
    const { before, after, order } = cutOff(z, temperature, k, p);
    const best = order.slice(0, bars);
    const drawn = drawAt(after, u);
    const svg = figure.svg(390, 390);
    const end = barsOf(svg, softmax(z), after, best);
    stripOf(svg, after, drawn, u, end + 46);
    const kept = after.filter((share) => share > 0);
    const stayed = sum(before.filter((_, i) => after[i] > 0));
    return {
      kept: kept.length,
      cut: 100 * (1 - stayed),
      choices: Math.exp(-sum(kept.map((share) => share * Math.log(share)))),
      drawn: pieces[drawn],
      tokens: best.map((i) => pieces[i]),
      shares: best.map((i) => after[i]),
    };
  };
};
