// A decode through its cache: which slots a step writes, and which a query head reads.
const setup = (figure) => {
  const { lengths, longest, slots, words, weights } = figure.data;
  const [cell, left, across] = [50, 4, 7];
  const lines = Math.ceil((slots + 1) / across);
  const [lineHeight, rowHeight] = [56, 22 + lines * 56];

  const isWritten = (row, slot, step, keep) =>
    step === 0 || !keep ? slot < longest + step : slot === lengths[row] + step - 1;

  // The middle of a slot, and the top of its line.
  const place = (row, slot) => [
    left + ((slot % across) + 0.5) * cell,
    14 + row * rowHeight + Math.floor(slot / across) * lineHeight,
  ];

  const drawSlot = (svg, [x, top], slot, { weight, written, stored, padding }) => {
    const box = { x: x - cell / 2 + 3, y: top + 24, width: cell - 6, height: 14 };
    draw(svg, "rect", { ...box, fill: color(0), opacity: weight });
    const edge = written ? { stroke: color(1), "stroke-width": 3 } : { class: "lt-axis" };
    const dash = stored || written ? {} : { "stroke-dasharray": "2 3" };
    draw(svg, "rect", { ...box, fill: "none", ...edge, ...dash });
    if (padding) draw(svg, "text", { x, y: top + 35, "text-anchor": "middle" }, "×");
    draw(svg, "text", { x, y: top + 51, "text-anchor": "middle", style: "font-size: 11px" }, String(slot));
  };

  const drawWord = (svg, [x, top], word, isNext) => {
    draw(svg, "text", { x, y: top + 17, "text-anchor": "middle", style: "font-size: 13px" }, word.trim());
    if (!isNext) return;
    const frame = { x: x - cell / 2 + 1, y: top + 3, width: cell - 2, height: 19, rx: 4, fill: "none" };
    draw(svg, "rect", { ...frame, class: "lt-axis", "stroke-dasharray": "3 2" });
  };

  const drawRow = (svg, row, read, step, keep) => {
    const length = lengths[row] + step;
    draw(svg, "text", { x: left + 3, y: 13 + row * rowHeight }, `text ${row + 1}`);
    for (let slot = 0; slot <= length; slot++) {
      drawWord(svg, place(row, slot), words[row][slot], slot === length);  // the next one has no slot yet
    }
    for (let slot = 0; slot < slots; slot++) {
      const stored = slot < Math.max(longest, length);
      drawSlot(svg, place(row, slot), slot, {
        weight: read[slot], written: isWritten(row, slot, step, keep), stored, padding: stored && slot >= length,
      });
    }
  };

  return ({ step, layer, head, keep }) => {
    const wide = Array.from({ length: step + 1 }, (_, s) => (s === 0 || !keep ? longest + s : 1));
    const read = weights[step].map((row) => row[layer][head]);
    const best = read.map((row) => row.indexOf(Math.max(...row)));
    const svg = figure.svg(left * 2 + across * cell, 18 + lengths.length * rowHeight);
    lengths.forEach((_, row) => drawRow(svg, row, read[row], step, keep));
    draw(svg, "text", { x: left + (across * cell) / 2, y: 13, "text-anchor": "middle" }, "slot = position");
    return {
      written: lengths.length * wide.at(-1),
      computed: lengths.length * wide.reduce((sum, one) => sum + one, 0),
      last: lengths.map((length) => (step ? length + step : longest) - 1),
      best,
      weights: read.map((row, i) => row[best[i]]),
      texts: lengths.map((length, row) => words[row].slice(0, length + step).join("")),
      slots,
    };
  };
};
