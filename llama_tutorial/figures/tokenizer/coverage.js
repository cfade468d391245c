// Shows what SentencePiece made of a sample beforehand, for each coverage, with and without bytes.
const setup = (figure) => ({ coverage, fallback, sample }) => {
  const { pieces, decoded, bytes, unknown, survives, rows } = figure.data.results[coverage][fallback ? 1 : 0][sample];
  const names = pieces.map((index) => figure.data.names[index]);
  const verdict = survives ? "the text comes back whole" : "the text does not come back";
  showPieces(figure, names.map((name) => [name, "", kindOf(name)]), `The pieces of the sample ${sample}`, [`read back: ${decoded}`]);
  const words = `${names.length} piece${names.length === 1 ? "" : "s"}`;
  return { count: names.length, pieces: words, bytes, unknown, verdict, rows };
};
