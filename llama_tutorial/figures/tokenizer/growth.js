// Spells a text with the first few merges of a vocabulary: characters at one end, words at the other.
const setup = (figure) => {
  const { pieces, stops } = figure.data;
  const ranks = new Map(pieces.map((piece, i) => [piece, i]));
  const spell = (text, merges) =>
    mergeStates(prepared(text), (piece) => {
      const rank = ranks.get(piece);
      return rank < merges ? -rank : undefined;
    }).at(-1);

  return ({ text, merges }) => {
    const lengths = stops.map((stop) => spell(text, stop).length);
    const symbols = spell(text, merges);
    showPieces(figure, symbols.map((symbol) => [symbol, "", kindOf(symbol)]), `The text after ${merges} merges`);

    const top = Math.max(1, ...lengths);
    const svg = draw(figure.stage, "svg", { viewBox: "0 0 340 200", style: "max-width: 340px" });
    const x = [-0.4, stops.length - 0.6];
    const plot = axes(svg, { x, y: [0, top], box: [30, 24, 334, 155], xTicks: [], yTicks: ticks([0, top], 4).filter(Number.isInteger), xLabel: "merges learned", yLabel: "pieces in the text" });
    stops.forEach((stop, i) => {
      draw(svg, "text", { x: plot.x(i), y: 170, "text-anchor": "middle" }, textOf(stop));
      const [width, height] = [26, plot.y(0) - plot.y(lengths[i])];
      const paint = color(stop === merges ? 1 : 0);
      draw(svg, "rect", { x: plot.x(i) - width / 2, y: plot.y(lengths[i]), width, height, fill: paint });
    });
    const words = `${symbols.length} piece${symbols.length === 1 ? "" : "s"}`;
    return { count: symbols.length, pieces: words, lengths };
  };
};
