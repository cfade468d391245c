// Examples packed in rows, and the mask of one row: who may look at whom.
const setup = (figure) => {
  const { rows, none } = figure.data;
  const WIDTH = 370;

  const runs = (owners) => {
    const found = [];
    owners.forEach((example, i) => {
      const last = found[found.length - 1];
      if (last && last.example === example) last.end = i + 1;
      else found.push({ example, start: i, end: i + 1 });
    });
    return found;
  };

  const look = (example) => (example === none
    ? { fill: "none", class: "lt-axis", "stroke-width": 0.5 }
    : { fill: color(example), "fill-opacity": 0.55 });

  const drawRows = (svg, all, chosen, unit) => {
    all.forEach((owners, number) => {
      const y = 20 + number * 22;
      draw(svg, "text", { x: 24, y: y + 13, "text-anchor": "end" }, String(number + 1));
      for (const { example, start, end } of runs(owners)) {
        const box = { x: 30 + start * unit, y, width: (end - start) * unit, height: 18 };
        draw(svg, "rect", { ...box, ...look(example) });
        if (example === none) continue;
        const middle = { x: box.x + box.width / 2, y: y + 13, "text-anchor": "middle" };
        draw(svg, "text", middle, String(example + 1));
      }
    });
    const frame = { x: 29, y: 19 + (chosen - 1) * 22, width: WIDTH + 2, height: 20, fill: "none" };
    draw(svg, "rect", { ...frame, stroke: color(1), "stroke-width": 2 });
    draw(svg, "text", { x: 30, y: 13 }, "rows");
  };

  const drawMask = (svg, owners, firstOf, query, top) => {
    const side = 300 / owners.length;
    draw(svg, "text", { x: 90, y: top - 8 }, "the keys of the framed row →");
    draw(svg, "text", { x: 0, y: 0, transform: `translate(80 ${top + 300}) rotate(-90)` }, "← the queries");
    owners.forEach((_, i) => {
      for (const { example, start, end } of runs(owners.slice(0, i + 1))) {
        const left = Math.max(start, firstOf(i));
        if (left >= end) continue;
        const box = { x: 90 + left * side, y: top + i * side, width: (end - left) * side, height: side };
        draw(svg, "rect", { ...box, ...look(example) });
      }
    });
    const here = { x: 89, y: top + query * side - 1, width: (query + 1) * side + 2, height: side + 2 };
    draw(svg, "rect", { ...here, fill: "none", stroke: color(1), "stroke-width": 1.5 });
    draw(svg, "path", { d: `M90 ${top}v300h300`, fill: "none", class: "lt-axis" });
  };

  return ({ how, context, row, query }) => {
    const all = rows[how][context];
    figure.limit("row", all.length - 1);
    figure.limit("query", context - 1);
    const number = Math.min(row, all.length);
    const position = Math.min(query, context - 1);
    const owners = all[number - 1];
    const firstOf = (i) => (how === "concatenate" ? 0 : owners.indexOf(owners[i]));
    const top = 20 + all.length * 22 + 34;
    const svg = figure.svg(410, top + 312);
    drawRows(svg, all, number, WIDTH / context);
    drawMask(svg, owners, firstOf, position, top);

    const owner = owners[position];
    const seen = owners.slice(firstOf(position), position + 1);
    const homes = all.flatMap((one) => [...new Set(one.filter((example) => example !== none))]);
    const padding = all.flat().filter((example) => example === none).length;
    return {
      rows: all.length,
      padding: (100 * padding) / (all.length * context),
      split: homes.length - new Set(homes).size,
      number,
      position,
      owner: owner === none ? "the padding" : `example ${owner + 1}`,
      sees: seen.length,
      foreign: seen.filter((example) => example !== owner).length,
    };
  };
};
