// A dialog with a Llama that was taught to answer. The first turns are those that Python recorded.
const setup = (figure) => {
  const { dialog: recorded, suggestions, tags } = figure.data;
  const { params, download } = figure.llama;

  figure.stage.replaceChildren();
  const desk = element(figure.stage, "div", "lt-chat");
  const scroller = element(desk, "div", "lt-log");
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", "the dialog");
  const log = element(scroller, "ol", "lt-dialog");

  // A message with the tags around it, which only show when the reader wants to see them.
  const show = ({ role, content }) => {
    const line = element(log, "li", `lt-${role}`);
    element(line, "b", "", role === "user" ? "You" : figure.llama.name);
    const body = element(line, "p", "");
    const [before, after] = tags[role];
    element(body, "code", "", before);
    const text = body.appendChild(document.createTextNode(content));
    element(body, "code", "", after);
    scroller.scrollTop = scroller.scrollHeight;
    return { line, text };
  };

  // All messages, and how many of the oldest the model no longer reads.
  let [messages, lines, dropped] = [[], [], 0];
  const undo = () => lines.splice(-2).forEach(({ line }) => line.remove());
  const begin = (dialog) => {
    log.replaceChildren();
    [messages, lines, dropped] = [[...dialog], dialog.map((message) => show(message)), 0];
  };
  begin(recorded);
  scroller.scrollTop = 0;

  if (!llamaInPage.here) {
    figure.root.querySelector(".lt-controls").style.display = "none";
    element(desk, "p", "lt-status", "You can talk to it in the pages of the book. In a notebook or a shell, llama-tutorial chat does the same.");
    return () => ({});
  }

  let [running, seed] = [null, 0];
  const form = element(desk, "form", "lt-ask");
  const label = element(form, "label", "");
  element(label, "span", "lt-heard", "your message");
  const field = element(label, "input", "");
  Object.assign(field, { type: "text", maxLength: 2000, autocomplete: "off", placeholder: "Ask about the tale" });
  const main = button(form, "lt-main", "Send", () => (running ? running.abort() : ask(field.value)));
  const more = element(desk, "div", "lt-suggestions");
  more.setAttribute("role", "group");
  more.setAttribute("aria-label", "messages to send");
  const bar = element(desk, "div", "lt-bar");
  const status = element(desk, "p", "lt-status");
  status.setAttribute("role", "status");  // said when an answer begins and when it has ended, not at each token
  const heard = element(status, "span", "lt-heard");  // the answer, for who hears the page
  const seen = element(status, "span", "");
  const say = (words, answer = "", isError = false) => {
    heard.textContent = answer;
    seen.textContent = words;
    desk.classList.toggle("lt-error", isError);
  };

  // The dialog without the oldest turns, as long as it leaves no room: what ChatSession does.
  const fitting = async (llama, question) => {
    const context = llama.config.max_seq_len;
    for (let left = dropped; ; left += 2) {
      const dialog = [...messages.slice(left), question];
      const room = context - (await llama.encode(dialog)).ids.length;
      if (room >= Math.floor(context / 4) || dialog.length === 1) {
        if (room < 1) throw new Error(`This message is too long: with room for an answer it must fit into ${context} tokens.`);
        return { dialog, left };
      }
    }
  };

  // Cuts an answer where it begins to write one of Llama's tags, which could fake a turn.
  const tagIn = (text) => Math.min(...tags.refused.map((tag) => text.indexOf(tag)).filter((at) => at >= 0));

  const cut = document.createElement("li");
  cut.className = "lt-cut";
  cut.textContent = "What stands above is forgotten: the context is full.";

  const answer = async (question, nextSeed) => {
    const mine = (running = new AbortController());
    const { temperature } = figure.values();
    seed = nextSeed;
    desk.dataset.state = "writing";
    main.textContent = "Stop";
    say(`Loading ${download} …`);
    lines.push(show({ role: "user", content: question.content }));
    const reply = show({ role: "assistant", content: "" });
    lines.push(reply);
    reply.line.classList.add("lt-now");
    let [text, due] = ["", false];
    const paint = () => {  // at most once a frame
      due = false;
      if (running !== mine) return;  // it has all of its text
      reply.text.data = text.trimStart();
      scroller.scrollTop = scroller.scrollHeight;
    };
    try {
      const llama = await llamaInPage.open(figure.llama.name);
      const { dialog, left } = await fitting(llama, question);
      say("Answering …");
      const found = await llama.write(dialog, {
        temperature,
        seed,
        signal: mine.signal,
        onToken: (token) => {
          text += token.text;
          if (Number.isFinite(tagIn(text))) mine.abort();
          if (!due) requestAnimationFrame(paint);
          due = true;
        },
      });
      text = found.text.slice(0, tagIn(found.text)).trim();
      reply.text.data = text;
      const isEmpty = !text && found.ended === "stopped";
      if (isEmpty) undo();
      else messages.push(question, { role: "assistant", content: text });
      if (left > dropped) lines[left].line.before(cut);
      dropped = left;
      const count = found.ids.length;
      const rate = Math.round(found.tokensPerSecond).toLocaleString("en");
      const drawn = temperature ? `, drawn with seed ${seed}` : ", each the likeliest";
      const why = { stopped: "Stopped. ", length: "The context is full. ", "stop id": "" }[found.ended];
      const gone = left ? ` The oldest ${left} messages no longer fit.` : "";
      say(`${why}${count} token${count === 1 ? "" : "s"}${drawn}, at ${rate} a second. The dialog takes ${found.promptIds.length + count} of ${llama.config.max_seq_len} tokens.${gone}`, text);
      figure.root.answered = { ...found, text, messages: [...messages], dropped };  // for the tests
    } catch (error) {
      undo();
      if (!field.value) field.value = question.content;  // to mend it
      say(error.message, "", true);
    }
    running = null;
    reply.line.classList.remove("lt-now");
    desk.dataset.state = "done";
    main.textContent = "Send";
  };

  const ask = (content) => {
    if (running || !content.trim()) return;
    field.value = "";
    answer({ role: "user", content }, 0);
  };
  form.addEventListener("submit", (event) => {  // Enter
    event.preventDefault();
    if (!running) ask(field.value);
  });
  const again = button(bar, "", "Again", () => {
    if (running) return;
    const { temperature } = figure.values();
    if (messages.length < 2) return say("There is nothing to answer yet: send a message.");
    if (!temperature) return say("At temperature 0 each token is the likeliest, so there is one answer only: move the slider for others.");
    const [question] = messages.splice(-2);
    undo();
    answer(question, seed + 1);
  });
  again.title = "Another answer to the last message";
  button(bar, "", "New dialog", () => {
    if (running) return;
    begin([]);
    say("A new dialog. Ask for a tale, or give one with a question about it.");
    field.focus();
  });
  for (const one of suggestions) button(more, "", one, () => ask(one));

  figure.root.addEventListener("keydown", (event) => {  // before _live.js keeps keys from JupyterLab
    if (event.key === "Escape" && !event.isComposing) running?.abort();
  }, true);
  // Who goes into the field is about to write.
  field.addEventListener("focus", () => llamaInPage.open(figure.llama.name).catch(() => {}), { once: true });

  say(`${params} weights. Your first message loads them (${download}, once), and then they answer here, in this page, with no server.`);
  return ({ tags: shown }) => {
    desk.classList.toggle("lt-tagged", shown);
    return {};
  };
};
