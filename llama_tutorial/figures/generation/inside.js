// How each token of a tale was chosen: its rivals, where every head looked, what each layer would have
// said. What stands there first is Python's; the reader's own tale is written and seen in the page.
const setup = (figure) => {
  const { tokens, prompt, seen, chosen, head, says } = figure.data;
  const controls = figure.root.querySelector(".lt-controls");
  const field = figure.inputs.find((input) => input.dataset.name === "beginning");
  const percent = (share) => (share < 0.001 ? "< 0.1 %" : `${textOf(Math.round(1000 * share) / 10)} %`);

  // The tale as it is shown: tokens { id, piece }, how many are the reader's, what was seen by position,
  // and with which settings the rest was drawn.
  const recorded = seen.map((one) => ({
    ...one,
    attention: one.attention.map((heads) => heads.map((weights) => weights.map((weight) => weight / 1000))),
  }));
  let tale = { tokens, prompt, seen: new Map(recorded.map((one) => [one.position, one])), temperature: 0.6 };
  let at = chosen;  // the token that is looked at
  let seed = figure.data.seed;
  let [layer, number] = head;

  figure.stage.replaceChildren();
  const desk = element(figure.stage, "div", "lt-inside");
  const bar = element(desk, "div", "lt-bar");
  const status = element(desk, "p", "lt-status");
  status.setAttribute("role", "status");  // said when a tale begins and when it ends, not at each token
  const page = element(desk, "div", "lt-tokens");
  page.setAttribute("role", "listbox");
  page.setAttribute("aria-label", "the tokens of the tale");
  const told = element(desk, "p", "lt-told");
  told.setAttribute("role", "status");
  const details = element(desk, "div", "lt-details");
  const part = (title, name) => {
    const box = element(details, "div", name);
    element(box, "p", "lt-title", title);
    return element(box, "div", "lt-rows");
  };
  const grid = part("Where the heads looked", "lt-heads");
  const rivals = part("What could have come here", "lt-rivals");
  const lens = part("What each layer would have said", "lt-lens");

  const say = (words, isError = false) => {
    status.textContent = words;
    desk.classList.toggle("lt-error", isError);
  };
  const now = () => tale.seen.get(at - 1);  // the position before a token chooses it
  // A byte of ASCII as its character; one that is only a part of a character as the piece it is.
  const plain = (piece) => piece.replaceAll("▁", " ").replace(/^<0x([2-7][0-9A-F])>$/, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  const wordOf = ({ piece }, i) => (i === 1 ? plain(piece).replace(/^ /, "") : plain(piece));
  const nameOf = (piece) => plain(piece).trim() || "␣";

  // The tale

  const place = (i) => {
    const text = wordOf(tale.tokens[i], i);
    const space = i && text.startsWith(" ") && text.length > 1 ? " " : "";  // is not tinted
    page.append(space);
    const word = element(page, "span", "lt-token", text.slice(space.length));
    word.setAttribute("role", "option");
    word.id = `${page.id}-${i}`;
    word.dataset.at = i;
    if (!i) {
      word.setAttribute("aria-disabled", "true");  // nothing chose BOS
      word.classList.add("lt-bos");
    }
    word.classList.toggle("lt-given", i < tale.prompt);
  };
  page.id = `lt-inside-${document.querySelectorAll(".lt-tokens").length}`;
  const spread = () => {
    page.replaceChildren();
    tale.tokens.forEach((_, i) => place(i));
  };
  const tint = () => {
    const weights = now()?.attention[layer - 1][number - 1] ?? [];
    for (const word of page.children) {
      const i = Number(word.dataset.at);
      word.style.setProperty("--w", weights[i] ?? 0);
      word.classList.toggle("lt-chosen", i === at);
      word.classList.toggle("lt-later", i > at);
      word.setAttribute("aria-selected", i === at);
    }
    page.setAttribute("aria-activedescendant", `${page.id}-${at}`);
  };

  // What was seen where the token was chosen

  const strongest = (weights) => weights.reduce((best, weight, j) => (weight > weights[best] ? j : best), 0);
  const looksOf = (weights) => Array.from(weights.keys())
    .sort((a, b) => weights[b] - weights[a])
    .slice(0, 3)
    .filter((j) => weights[j] >= 0.001)
    .map((j) => `“${wordOf(tale.tokens[j], j).trim()}” (${percent(weights[j])})`);

  const showHeads = ({ attention }) => {
    const focused = grid.contains(document.activeElement);
    grid.replaceChildren();
    grid.style.setProperty("--heads", attention[0].length);
    element(grid, "span", "", "layer");
    attention[0].forEach((_, h) => element(grid, "span", "", h + 1));
    attention.forEach((heads, l) => {
      element(grid, "span", "", l + 1);
      heads.forEach((weights, h) => {
        const most = strongest(weights);
        const cell = button(grid, "lt-head", "", () => lookThrough(l + 1, h + 1));
        const isChosen = l + 1 === layer && h + 1 === number;
        const words = `layer ${l + 1}, head ${h + 1}: ${percent(weights[most])} on “${wordOf(tale.tokens[most], most).trim()}”`;
        cell.setAttribute("aria-label", words);
        cell.title = words;
        cell.setAttribute("aria-pressed", isChosen);
        cell.tabIndex = isChosen ? 0 : -1;
        cell.style.setProperty("--w", weights[most]);
        if (isChosen && focused) cell.focus();
      });
    });
  };

  // The probability that the model gave a token, and that with which it was drawn.
  const sharesOf = ({ candidates, logits, own }, id) => {
    const listed = candidates.find((one) => one.id === id);
    if (listed) return listed;
    if (own) return own;
    const [best] = candidates;
    const before = best.before * Math.exp(logits[id] - logits[best.id]);
    // What was drawn was not cut, and then only the temperature stands between the two.
    const after = tale.temperature ? best.after * Math.exp((logits[id] - logits[best.id]) / tale.temperature) : 0;
    return { before, after };
  };

  const showRivals = (here) => {
    const { id, piece } = tale.tokens[at];
    const rows = here.candidates.map((one) => ({ ...one }));
    if (!rows.some((one) => one.id === id)) rows.push({ id, piece, ...sharesOf(here, id) });
    const isGiven = at < tale.prompt;
    rivals.replaceChildren();
    for (const one of rows) {
      const row = element(rivals, "div", one.id === id ? "lt-row lt-mine" : "lt-row");
      element(row, "span", "lt-name", nameOf(one.piece));
      const line = element(row, "span", "lt-line-of");
      element(line, "i", "lt-before").style.width = `${100 * one.before}%`;
      if (!isGiven) element(line, "i", "lt-after").style.width = `${100 * one.after}%`;
      const cut = one.after ? percent(one.after) : "cut";
      const before = one.after ? percent(one.before).replace(" %", "") : percent(one.before);  // one sign will do
      element(row, "span", "lt-share", isGiven ? percent(one.before) : `${before} → ${cut}`);
    }
  };

  const showLens = (here) => {
    lens.replaceChildren();
    const answer = here.lens.at(-1).id;
    here.lens.forEach((one, l) => {
      const row = element(lens, "div", one.id === answer ? "lt-row lt-mine" : "lt-row");
      element(row, "span", "lt-name", `layer ${l + 1}`);
      element(row, "span", "lt-guess", nameOf(one.piece));
      element(row, "span", "lt-share", percent(one.probability));
    });
  };

  const show = () => {
    tint();
    const here = now();
    details.hidden = !here;
    if (!here) return (told.textContent = "");
    showHeads(here);
    showRivals(here);
    showLens(here);
    const { id } = tale.tokens[at];
    const { before, after } = sharesOf(here, id);
    const looks = looksOf(here.attention[layer - 1][number - 1]);
    const token = wordOf(tale.tokens[at], at).trim();
    const words = fill(at < tale.prompt ? says.given : says.drawn, { token, before: percent(before), after: percent(after) });
    told.textContent = `${words} ${fill(says.looks, { layer, number, looks })}`;
    figure.root.shown = { at, layer, number, here, token };  // for the tests
  };

  const lookThrough = (newLayer, newNumber) => {
    [layer, number] = [newLayer, newNumber];
    show();
  };

  // One run at a time: a new one ends the old one.
  let running = null;

  const run = async (work) => {
    running?.abort();
    const mine = (running = new AbortController());
    desk.dataset.state = "busy";
    main.textContent = "Stop";
    say(`Loading ${figure.llama.download} …`);
    try {
      const llama = await llamaInPage.open(figure.llama.name);
      if (running === mine) await work(llama, mine);
    } catch (error) {
      if (running === mine) say(error.message, true);
    }
    if (running !== mine) return;
    running = null;
    desk.dataset.state = "done";
    main.textContent = "Write";
  };
  const look = { candidates: 10, attention: true, lens: true, logits: true };

  const write = (nextSeed) => run(async (llama, mine) => {
    const { beginning: begin, temperature, p } = figure.values();
    seed = nextSeed;
    const { ids, pieces } = await llama.encode(begin, { bos: true });
    if (running !== mine) return;
    say("Writing …");
    const next = { tokens: ids.map((id, i) => ({ id, piece: pieces[i] })), prompt: ids.length, seen: new Map(), temperature };
    let drawn = 0;  // tokens on the page
    const paint = () => {
      if (running !== mine || !drawn) return;
      for (; drawn < tale.tokens.length; drawn++) place(drawn);
    };
    const written = await llama.write(begin, {
      temperature, topP: p, seed, look, signal: mine.signal,
      onSeen: (one) => next.seen.set(one.position, one),
      onToken: ({ id, piece }) => {
        if (running !== mine || id === undefined) return;
        next.tokens.push({ id, piece });
        if (!drawn) {  // the first token: the old tale goes
          tale = next;
          [at, drawn] = [next.prompt, next.tokens.length];
          details.hidden = true;
          told.textContent = "";
          spread();
        }
        requestAnimationFrame(paint);
      },
    });
    if (running !== mine) return;
    if (!written.ids.length && mine.signal.aborted) return say("Stopped before the first token.");
    tale = next;
    at = Math.min(tale.prompt, tale.tokens.length - 1);
    spread();
    show();
    const why = { stopped: "Stopped.", length: `The context of ${llama.config.max_seq_len} tokens is full.`, "stop id": "The model has said that it is done." };
    const how = temperature ? `drawn with seed ${seed}` : "each the likeliest";
    say(`${written.ids.length} tokens, ${how}. ${why[written.ended]} Choose one.`);
    figure.root.written = { ...written, temperature, p, seed };  // for the tests
  });

  // The tale that Python wrote is read once more, to see at every position what is recorded at few.
  const readAgain = () => run(async (llama, mine) => {
    const found = new Map();
    await llama.read(tale.tokens.map(({ id }) => id), {
      look, signal: mine.signal, onSeen: (one) => found.set(one.position, one),
    });
    if (running !== mine) return;
    say("");
    if (mine.signal.aborted) return;
    tale.seen = found;
    show();
  });

  const choose = (i) => {
    const last = tale.tokens.length - 1;
    const to = Math.max(1, Math.min(last, i));
    if (!llamaInPage.here && !tale.seen.has(to - 1)) return;  // in a notebook only what is recorded
    at = to;
    show();
    if (!now() && !running) readAgain();
  };

  // Before _live.js keeps keys from JupyterLab.
  figure.root.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape" && running) running.abort();
    if (event.key === "Enter" && event.target === field) write(figure.data.seed);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && event.target === page) {
      let to = at + step;
      if (!llamaInPage.here) while (to > 0 && to < tale.tokens.length && !tale.seen.has(to - 1)) to += step;
      choose(to);
      event.preventDefault();
    }
    if (step && event.target.className === "lt-head") {
      const { attention } = now();
      const [layers, heads] = [attention.length, attention[0].length];
      const inRow = event.key === "ArrowLeft" || event.key === "ArrowRight";
      const to = (layer - 1) * heads + number - 1 + step * (inRow ? 1 : heads);
      if (to >= 0 && to < layers * heads) lookThrough(1 + Math.floor(to / heads), 1 + (to % heads));
      event.preventDefault();
    }
  }, true);
  page.addEventListener("click", (event) => {
    const word = event.target.closest(".lt-token");
    if (word && word.dataset.at !== "0" && !running) choose(Number(word.dataset.at));
  });
  page.tabIndex = 0;

  const main = button(bar, "lt-main", "Write", () => {
    if (running) running.abort();
    else write(figure.data.seed);
  });
  button(bar, "", "Again", () => {
    if (figure.values().temperature) write(seed + 1);
    else say("At temperature 0 each token is the likeliest, so there is one tale only.");
  }).title = "The same beginning, other draws";
  spread();
  show();
  if (!llamaInPage.here) {
    controls.style.display = bar.style.display = "none";
    for (const word of page.children) word.classList.toggle("lt-open", tale.seen.has(Number(word.dataset.at) - 1));
    say("The framed tokens can be chosen here; in the pages of the book all can, and those of your own tale. In a notebook, figures.generation.explore(model, tokenizer) asks any model.");
    return () => ({});
  }
  say(`The first click on a token or on Write loads ${figure.llama.params} weights (${figure.llama.download}, once).`);
  for (const input of figure.inputs) {
    if (input !== field) input.addEventListener("change", () => write(seed));
  }
  return () => ({});
};
