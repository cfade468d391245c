// A decode through its cache: which slots a step writes, and which a query head reads.
const setup = (figure) => {
  const { lengths, longest, slots, group, tokens, letters, weights } = figure.data;
  const cell = 22;
  const left = 5;

  const isWritten = (row, slot, step, keep) =>
    step === 0 || !keep ? slot < longest + step : slot === lengths[row] + step - 1;

  const drawSlot = (svg, slot, y, { weight, written, stored, padding }) => {
    const box = { x: left + slot * cell + 2, y, width: cell - 4, height: cell - 4 };
    draw(svg, "rect", { ...box, fill: color(0), opacity: weight });
    const edge = written ? { stroke: color(1), "stroke-width": 3 } : { class: "lt-axis" };
    const dash = stored || written ? {} : { "stroke-dasharray": "2 3" };
    draw(svg, "rect", { ...box, fill: "none", ...edge, ...dash });
    if (padding) draw(svg, "text", { x: box.x + box.width / 2, y: y + 13, "text-anchor": "middle" }, "×");
  };

  const drawRow = (svg, row, top, read, step, keep) => {
    const length = lengths[row] + step;
    draw(svg, "text", { x: left, y: top }, `text ${row + 1}`);
    for (let slot = 0; slot <= Math.min(length, slots); slot++) {
      const x = left + slot * cell + cell / 2;
      const letter = letters[tokens[row][slot]];
      draw(svg, "text", { x, y: top + 25, "text-anchor": "middle", style: "font-size: 16px" }, letter);
      if (slot === length) {
        const dashed = { class: "lt-axis", "stroke-dasharray": "3 2" };
        draw(svg, "rect", { x: x - 9, y: top + 11, width: 18, height: 19, rx: 4, fill: "none", ...dashed });
      }
    }
    for (let slot = 0; slot < slots; slot++) {
      const stored = slot < Math.max(longest, length);
      drawSlot(svg, slot, top + 36, {
        weight: read[slot], written: isWritten(row, slot, step, keep), stored, padding: stored && slot >= length,
      });
    }
  };

  return ({ step, layer, head, keep }) => {
    const wide = Array.from({ length: step + 1 }, (_, s) => (s === 0 || !keep ? longest + s : 1));
    const read = weights[step].map((row) => row[layer][head]);
    const best = read.map((row) => row.indexOf(Math.max(...row)));
    const svg = figure.svg(left * 2 + (slots + 1) * cell, 205);
    lengths.forEach((_, row) => drawRow(svg, row, 16 + row * 82, read[row], step, keep));
    for (let slot = 0; slot < slots; slot += 5) {
      draw(svg, "text", { x: left + slot * cell + cell / 2, y: 183, "text-anchor": "middle" }, String(slot));
    }
    draw(svg, "text", { x: left + (slots * cell) / 2, y: 201, "text-anchor": "middle" }, "slot = position");
    const text = (row) => tokens[row].slice(0, lengths[row] + step).map((id) => letters[id]).join("");
    return {
      written: lengths.length * wide.at(-1),
      computed: lengths.length * wide.reduce((sum, one) => sum + one, 0),
      last: lengths.map((length) => (step ? length + step : longest) - 1),
      kv_head: Math.floor(head / group),
      best,
      weights: read.map((row, i) => row[best[i]]),
      texts: lengths.map((_, row) => text(row)),
      slots,
    };
  };
};
