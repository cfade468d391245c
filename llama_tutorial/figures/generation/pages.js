// A cache that is handed out in blocks to texts of unequal length.
const setup = (figure) => {
  const { turns, slots } = figure.data;
  const texts = turns.map(([row, begin, size], text) => ({ text, row, begin, end: begin + size }));
  const inRows = [...texts].sort((one, other) => one.row - other.row);
  const [left, top, width, line, inLine] = [7, 10, 5.25, 15, 64];

  // Hands out blocks step by step, the lowest free one first: the blocks of each text, and the most
  // slots that were ever reserved.
  const handOut = (block, step) => {
    const free = Array.from({ length: slots / block }, () => true);
    const tables = new Map();
    let [most, shown] = [0, new Map()];
    for (let at = 0; at < Math.max(...texts.map(({ end }) => end)); at++) {
      for (const { text, end } of texts) {
        if (end !== at) continue;
        for (const number of tables.get(text)) free[number] = true;
        tables.delete(text);
      }
      for (const { text, begin, end } of inRows) {
        if (at < begin || at >= end || (at - begin) % block) continue;
        const lowest = free.indexOf(true);
        free[lowest] = false;
        tables.set(text, [...(tables.get(text) ?? []), lowest]);
      }
      const blocks = [...tables.values()].reduce((sum, table) => sum + table.length, 0);
      most = Math.max(most, block * blocks);
      if (at === step) shown = new Map(tables);
    }
    return { tables: shown, most };
  };

  // Slots from first on, as one box for each line that they lie in.
  const box = (svg, first, count, look) => {
    for (let slot = first; slot < first + count; ) {
      const end = Math.min(first + count, (Math.floor(slot / inLine) + 1) * inLine);
      const [x, y] = [left + (slot % inLine) * width, top + Math.floor(slot / inLine) * line];
      draw(svg, "rect", { x, y, width: (end - slot) * width, height: line - 2, ...look });
      slot = end;
    }
  };

  return ({ block, step }) => {
    const { tables, most } = handOut(block, step);
    const svg = figure.svg(350, top + (slots / inLine) * line + 4);
    for (let first = 0; first < slots; first += block)
      box(svg, first, block, { fill: "none", stroke: "var(--lt-ink)", "stroke-width": 0.5, opacity: 0.6 });
    let used = 0;
    for (const [text, table] of tables) {
      const { row, begin } = texts[text];
      const written = step - begin + 1;
      used += written;
      table.forEach((number, i) => {
        box(svg, number * block, block, { fill: color(row), opacity: 0.16, class: "lt-reserved" });
        const full = Math.min(block, written - i * block);
        box(svg, number * block, full, { fill: color(row), opacity: 0.5, class: "lt-written" });
        const slot = number * block;
        const [x, y] = [left + (slot % inLine) * width + 4, top + Math.floor(slot / inLine) * line + 11];
        draw(svg, "text", { x, y, style: "font-size: 12px" }, text + 1);
      });
    }
    const reserved = block * [...tables.values()].reduce((sum, table) => sum + table.length, 0);
    const { text } = inRows.find((one) => tables.has(one.text));
    return {
      used,
      reserved,
      empty: 100 * (1 - used / reserved),
      most,
      text: text + 1,
      table: tables.get(text),
    };
  };
};
