// One row of a batch: a window on the stream, with inputs, targets and what one token may see.
const setup = (figure) => {
  const { pieces, context, begin, nothing } = figure.data;

  return ({ start, place, apart }) => {
    [start, place] = [Number(start), Number(place)];
    const row = pieces.slice(start, start + context + 1);
    const inputs = row.slice(0, context);
    const targets = inputs.map((_, i) => (row[i + 1] === begin ? nothing : row[i + 1]));
    const first = apart ? Math.max(0, inputs.slice(0, place + 1).lastIndexOf(begin)) : 0;
    const look = (i) => (i === place ? "lt-next" : first <= i && i < place ? "lt-merged" : "lt-character");
    const boxes = inputs.map((piece, i) => [piece, targets[i], look(i)]);
    showPieces(figure, boxes, "The inputs of one row, and below each its target");
    for (const [i, box] of figure.stage.querySelectorAll(".lt-piece").entries()) {
      box.style.cursor = "pointer";
      box.addEventListener("click", () => figure.set({ place: i }));
    }
    return {
      input: inputs[place],
      target: targets[place],
      position: place - first,
      sees: place - first + 1,
      targets: targets.filter((target) => target !== nothing).length,
    };
  };
};
