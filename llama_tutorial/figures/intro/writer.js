// A Llama that goes on with what the reader begins. The first tale is the one that Python wrote.
const setup = (figure) => {
  const { beginning, tale, openings } = figure.data;
  const { params, download } = figure.llama;
  const controls = figure.root.querySelector(".lt-controls");
  const field = figure.inputs.find((input) => input.dataset.name === "beginning");

  figure.stage.replaceChildren();
  const desk = element(figure.stage, "div", "lt-writer");
  const bar = element(desk, "div", "lt-bar");
  const more = element(bar, "div", "lt-openings");
  more.setAttribute("role", "group");
  more.setAttribute("aria-label", "begin with");
  const page = element(desk, "p", "lt-tale");
  const begun = element(page, "b");
  const written = page.appendChild(document.createTextNode(""));
  const status = element(desk, "p", "lt-status");
  status.setAttribute("role", "status");  // said when a tale begins and when it ends, not at each token

  const show = (begin, text) => {
    begun.textContent = begin;
    written.data = text;
  };
  const say = (words, isError = false) => {
    status.textContent = words;
    desk.classList.toggle("lt-error", isError);
  };
  // How often a token is drawn that is half as likely as the best, for every 100 times of that one.
  const often = (temperature) => Math.round(100 * 0.5 ** (1 / temperature));
  let told = { begin: beginning, text: tale };  // the last tale
  show(beginning, tale);

  if (!llamaInPage.here) {
    controls.style.display = bar.style.display = "none";
    say("It writes in the pages of the book. In a notebook, figures.generation.explore(model, tokenizer) writes with any model.");
    return ({ temperature }) => ({ often: often(temperature) });
  }

  // One run at a time: a new one ends the old one.
  let [running, seed] = [null, 0];

  const tell = async (nextSeed) => {
    running?.abort();
    const mine = (running = new AbortController());
    const [begin, { temperature }] = [field.value, figure.values()];
    seed = nextSeed;
    desk.dataset.state = "writing";
    main.textContent = "Stop";
    say(`Loading ${download} …`);
    let text = "";
    let due = false;
    const paint = () => {  // at most once a frame
      due = false;
      if (running === mine) written.data = text;
    };
    try {
      const llama = await llamaInPage.open(figure.llama.name);
      if (running !== mine) return;
      say("Writing …");
      show(begin, "");
      const found = await llama.write(begin, {
        temperature,
        seed,
        signal: mine.signal,
        onToken: (token) => {
          text += token.text;
          if (!due) requestAnimationFrame(paint);
          due = true;
        },
      });
      if (running !== mine) return;
      told = { begin, text: found.text };
      written.data = found.text;
      const count = found.ids.length;
      const rate = Math.round(found.tokensPerSecond).toLocaleString("en");
      const why = { stopped: "Stopped. ", length: `The context of ${llama.config.max_seq_len} tokens is full. `, "stop id": "" };
      const drawn = temperature ? `, drawn with seed ${seed}` : ", each the likeliest";
      say(`${why[found.ended]}${count} token${count === 1 ? "" : "s"}${drawn}, at ${rate} a second on your machine.`);
      figure.root.written = found;  // for the tests
    } catch (error) {
      if (running === mine) say(error.message, true);
    }
    if (running === mine) {
      running = null;
      desk.dataset.state = "done";
      main.textContent = "Write";
    }
  };
  const stop = () => running?.abort();

  const main = button(bar, "lt-main", "Write", () => {
    if (running) stop();
    else tell(0);
  });
  const again = button(bar, "", "Again", () => {
    if (figure.values().temperature) tell(seed + 1);
    else say("At temperature 0 each token is the likeliest, so there is one tale only: move the slider for others.");
  });
  again.title = "The same beginning, other draws";
  bar.append(more);
  for (const opening of openings) {
    button(more, "lt-opening", opening, () => {
      field.value = opening;
      tell(0);
    });
  }

  // Before _live.js keeps keys from JupyterLab.
  figure.root.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape" && running) stop();
    if (event.key === "Enter" && event.target === field) tell(0);
  }, true);
  // Who goes into the field is about to write.
  field.addEventListener("focus", () => llamaInPage.open(figure.llama.name).catch(() => {}), { once: true });

  say(`${params} weights, loaded at the first click (${download}, once). There is no server.`);
  return ({ beginning: begin, temperature }) => {
    // What is typed stands on the page at once, and waits for its tale.
    if (!running) show(begin, begin === told.begin ? told.text : "");
    return { often: often(temperature) };
  };
};
