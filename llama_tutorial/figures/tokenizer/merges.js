// Spells a text step by step, with the pieces, scores and ids of a vocabulary.
const setup = (figure) => {
  const { scores, first } = figure.data;
  const rows = new Map(figure.data.pieces.map((piece, i) => [piece, { id: first + i, score: scores[i] }]));
  const scoreOf = (piece) => rows.get(piece)?.score;
  const utf8 = new TextEncoder();
  const bytesOf = (symbol) => [...utf8.encode(symbol)];
  const hex = (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

  return ({ text, step }) => {
    const states = mergeStates(prepared(text), scoreOf);
    const merged = states.at(-1);
    const ids = merged.flatMap((s) => rows.get(s)?.id ?? bytesOf(s).map((byte) => 3 + byte));
    const steps = states.length - 1 + merged.some((s) => !rows.has(s));  // the last one: bytes
    figure.limit("step", steps);
    step = Math.min(step, steps);

    const symbols = states[step] ?? merged.flatMap((s) => (rows.has(s) ? [s] : bytesOf(s).map(hex)));
    const after = states[step + 1];
    const at = after ? symbols.findIndex((symbol, i) => symbol !== after[i]) : -1;
    const joins = symbols.slice(1).map((right, i) => symbols[i] + right);
    const waiting = [...new Set(states[step] ? joins.filter((piece) => rows.has(piece)) : [])]
      .sort((a, b) => scoreOf(b) - scoreOf(a))
      .slice(0, 4)
      .map((piece) => `${piece}\u00a0${textOf(scoreOf(piece))}`);

    let next = symbols.length ? "finished: no two neighbours make a piece" : "nothing to spell";
    if (at >= 0) {
      next = `next, ${symbols[at]} and ${symbols[at + 1]} make ${after[at]}, score ${textOf(scoreOf(after[at]))}`;
    } else if (step < steps) {
      next = "next, the characters without a piece become bytes";
    }
    const boxes = symbols.map((symbol, i) => {
      const byte = states[step] ? undefined : /^<0x(..)>$/.exec(symbol);
      const id = byte ? 3 + parseInt(byte[1], 16) : rows.get(symbol)?.id ?? "none";
      const kind = i === at || i === at + 1 && at >= 0 ? "lt-next" : byte ? "lt-byte" : kindOf(symbol);
      return [symbol, id, kind];
    });
    const notes = waiting.length ? [`could merge now, best first: ${waiting.join(", ")}`] : [];
    showPieces(figure, boxes, `The pieces at step ${step}`, notes);
    for (const box of figure.stage.querySelectorAll(".lt-next")) {
      box.style.cursor = "pointer";
      box.addEventListener("click", () => figure.set({ step: step + 1 }));
    }
    const pieces = `${symbols.length} piece${symbols.length === 1 ? "" : "s"}`;
    return { step, steps, count: symbols.length, pieces, next, waiting, ids };
  };
};
