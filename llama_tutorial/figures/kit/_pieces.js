// Text cut into pieces, as a row of boxes: real text that wraps.

// The class of a piece's box: a byte, unknown, a single character, or merged from several.
const kindOf = (piece) => {
  if (/^<0x[0-9A-F]{2}>$/.test(piece)) return "lt-byte";
  if (piece === "<unk>") return "lt-unknown";
  return [...piece].length > 1 ? "lt-merged" : "lt-character";
};

const htmlElement = (parent, tag, kind, text = "") => {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.textContent = text;
  return parent.appendChild(element);
};

// A row of boxes in place of the last one; boxes are [piece, what stands below it, class].
const showPieces = (figure, boxes, label, notes = []) => {
  // Stage and row keep the most room that they ever had, so that nothing below them jumps.
  if (!figure.stage.querySelector(".lt-still")) figure.stage.style.minHeight = `${figure.stage.offsetHeight}px`;
  figure.stage.replaceChildren();
  const row = htmlElement(figure.stage, "div", "lt-pieces");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", label);
  for (const [piece, below, kind] of boxes) {
    const box = htmlElement(row, "span", `lt-piece ${kind}`);
    htmlElement(box, "bdi", "", piece);
    if (below !== "") htmlElement(box, "small", "", String(below));
  }
  figure.room = Math.max(figure.room ?? 0, row.offsetHeight);
  Object.assign(row.style, { minHeight: `${figure.room}px`, alignContent: "flex-start" });
  for (const note of notes) htmlElement(figure.stage, "p", "lt-note", note);
};

// The text as the tokenizer sees it: one space before it, spaces visible, half characters replaced.
const prepared = (text) =>
  text ? [..."▁" + text.replace(/\p{Cs}/gu, "\uFFFD").replaceAll(" ", "▁")] : [];

// The symbols before the first merge and after each: the best score first, the leftmost of equals.
const mergeStates = (symbols, scoreOf) => {
  const states = [symbols];
  for (;;) {
    let [best, at] = [undefined, -1];
    for (let i = 0; i + 1 < symbols.length; i++) {
      const score = scoreOf(symbols[i] + symbols[i + 1]);
      if (score !== undefined && (at < 0 || score > best)) [best, at] = [score, i];
    }
    if (at < 0) return states;
    symbols = [...symbols.slice(0, at), symbols[at] + symbols[at + 1], ...symbols.slice(at + 2)];
    states.push(symbols);
  }
};
