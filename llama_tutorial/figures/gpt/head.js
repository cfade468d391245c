// One attention head on one sentence: the scores of a query, the mask, the weights, the sum.
const setup = (figure) => {
  const { words, names, q, k, v } = figure.data;
  const columns = words.map((_, i) => 32 + i * ((450 - 64) / (words.length - 1)));
  const dot = (a, b) => a.reduce((total, value, i) => total + value * b[i], 0);

  const attend = (at, strength, causal) => {
    const query = q[at].map((value) => strength * value);
    const scores = k.map((key) => dot(query, key) / Math.sqrt(query.length));
    const seen = scores.map((score, i) => (causal && i > at ? -Infinity : score));
    const top = Math.max(...seen);
    const powers = seen.map((score) => Math.exp(score - top));
    const sum = powers.reduce((a, b) => a + b);
    const weights = powers.map((power) => power / sum);
    const output = names.map((_, j) => dot(weights, v.map((value) => value[j])));
    return { scores, seen, weights, output };
  };

  const title = (svg, y, text) => draw(svg, "text", { x: 8, y, "font-style": "italic" }, text);
  const row = (svg, y, texts) => texts.forEach((text, i) =>
    draw(svg, "text", { x: columns[i], y, "text-anchor": "middle" }, text));
  const two = (value) => (Number.isFinite(value) ? value.toFixed(2) : "−∞");

  // A word that is touched asks; the slider above follows.
  const ask = (i) => {
    const input = figure.inputs.find((one) => one.dataset.name === "word");
    input.value = i;
    input.dispatchEvent(new Event("input"));
  };

  const touchable = (svg, y) => words.forEach((_, i) => {
    const area = { x: columns[i] - 24, y, width: 48, height: 30, fill: "transparent" };
    const box = draw(svg, "rect", { ...area, style: "cursor: pointer", "data-word": i });
    box.addEventListener("click", () => ask(i));
  });

  return ({ word, strength, causal }) => {
    const at = words.indexOf(word);
    const { scores, seen, weights, output } = attend(at, strength, causal);
    const svg = figure.svg(450, 432);
    const box = { width: 48, height: 24, rx: 4, fill: "none", stroke: color(0), "stroke-width": 2 };
    draw(svg, "rect", { x: columns[at] - 24, y: 25, ...box });
    title(svg, 16, "touch a word: the boxed one asks");
    row(svg, 42, words);
    title(svg, 76, "scores: query · key / √h");
    row(svg, 97, scores.map(two));
    title(svg, 131, "after the mask");
    row(svg, 152, seen.map(two));
    title(svg, 186, "weights: softmax, sum 1");
    draw(svg, "line", { x1: 8, x2: 442, y1: 286, y2: 286, class: "lt-axis" });
    weights.forEach((weight, i) => {
      const height = 72 * weight;
      draw(svg, "rect", { x: columns[i] - 15, y: 286 - height, width: 30, height, fill: color(0) });
      const y = 281 - height;
      draw(svg, "text", { x: columns[i], y, "text-anchor": "middle" }, two(weight));
    });
    row(svg, 303, words);
    title(svg, 338, "weighted sum of the values");
    output.forEach((value, j) => {
      const y = 350 + 27 * j;
      draw(svg, "text", { x: 50, y: y + 14, "text-anchor": "end" }, names[j]);
      draw(svg, "rect", { x: 60, y, width: 300 * value, height: 18, fill: color(2) });
      draw(svg, "text", { x: 66 + 300 * value, y: y + 14 }, two(value));
    });
    touchable(svg, 22);
    touchable(svg, 288);
    return { scores, weights, output, visible: causal ? at + 1 : words.length };
  };
};
