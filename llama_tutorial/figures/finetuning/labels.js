// The tokens of a dialog, each with its label: its id where it is learned, -100 where it is not.
const setup = (figure) => {
  const { pieces, labels, ignore } = figure.data;

  return ({ rule, place }) => {
    const at = Number(place);
    const given = labels[rule];
    const look = (i) => (i === at ? "lt-next" : given[i] === ignore ? "lt-character" : "lt-merged");
    const below = (label) => (label === ignore ? textOf(label) : String(label));
    const boxes = pieces.map((piece, i) => [piece, below(given[i]), look(i)]);
    showPieces(figure, boxes, "The tokens of a dialog, and below each its label");
    return {
      input: pieces[at],
      target: pieces[at + 1],
      counts: given[at + 1] !== ignore,
      learned: given.filter((label) => label !== ignore).length,
      total: given.length,
    };
  };
};
