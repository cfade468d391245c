// One matrix in several files, joined along either axis, in either order.
const setup = (figure) => {
  const { size, shapes, cut, losses } = figure.data;
  const by = (shape) => shape.join(" × ");
  const cells = Array.from({ length: size * size }, (_, i) => i);
  const placeOf = (cell) => [Math.floor(cell / size), cell % size];

  // The cells in the order in which they stand after joining.
  const joined = (count, along, axis, backwards) => {
    const width = size / count;
    const parts = Array.from({ length: count }, (_, file) =>
      cells.filter((cell) => Math.floor(placeOf(cell)[along] / width) === file));
    if (backwards) parts.reverse();
    if (axis === 0) return parts.flat();
    const columns = along === 1 ? width : size;  // of one part
    const rows = parts[0].length / columns;
    return Array.from({ length: rows }, (_, row) =>
      parts.flatMap((part) => part.slice(row * columns, (row + 1) * columns))).flat();
  };

  const draw_cell = (svg, x, y, step, cell, file, filled) => {
    const box = { x: x + 1, y: y + 1, width: step - 2, height: step - 2, stroke: color(file) };
    const look = filled ? { fill: color(file), "fill-opacity": 0.28 } : { fill: "none", "stroke-dasharray": "2 2" };
    draw(svg, "rect", { ...box, ...look, class: filled ? "lt-in" : "lt-out" });
    draw(svg, "text", { x: x + step / 2, y: y + step / 2 + 5, "text-anchor": "middle", style: "font-size: 14px" },
      placeOf(cell).join(""));
  };

  return ({ kind, count, axis, backwards }) => {
    const along = cut[kind];
    const fileOf = (cell) => Math.floor((placeOf(cell)[along] * count) / size);
    const order = joined(count, along, axis, backwards);
    const step = 22;
    const gap = 34 / count;
    const svg = figure.svg(460, 264);
    draw(svg, "text", { x: 4, y: 16 }, `${kind} in ${count} files`);
    draw(svg, "text", { x: 272, y: 16 }, "joined, in 8 rows");
    for (const cell of cells) {
      const [row, column] = placeOf(cell);
      const apart = gap * fileOf(cell);
      const [x, y] = [4 + column * step + (along ? apart : 0), 28 + row * step + (along ? 0 : apart)];
      draw_cell(svg, x, y, step, cell, fileOf(cell), true);
    }
    draw(svg, "path", { d: "M236 116h18m-6 -6l6 6l-6 6", fill: "none", class: "lt-axis" });
    order.forEach((cell, i) => {
      const [row, column] = placeOf(i);
      draw_cell(svg, 272 + column * step, 28 + row * step, step, cell, fileOf(cell), cell === i);
    });
    const shape = shapes[kind];
    const part = shape.map((n, i) => (i === along ? n / count : n));
    const together = part.map((n, i) => (i === axis ? n * count : n));
    draw(svg, "text", { x: 4, y: along ? 224 : 258 }, `each ${by(part)}`);
    const fits = by(together) === by(shape);
    draw(svg, "text", { x: 272, y: 224 }, `${by(together)}${fits ? "" : `, not ${by(shape)}`}`);
    return {
      part: by(part), joined: by(together), wanted: by(shape),
      in_place: order.filter((cell, i) => cell === i).length,
      loss: losses[`${kind} ${count} ${axis} ${Number(backwards)}`],
    };
  };
};
