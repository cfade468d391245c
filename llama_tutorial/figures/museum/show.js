// Right beside broken, by the model that writes in the page. What stands there first is Python's; the
// script fills the same elements.
const setup = (figure) => {
  const { bugs, says, count, equal, first } = figure.data;
  const names = Object.keys(bugs);
  const find = (selector) => figure.stage.querySelector(selector);
  const [group, lines, status, hint] = [".lt-bugs", ".lt-lines", ".lt-status", ".lt-hint"].map(find);
  const sides = figure.stage.querySelectorAll(".lt-sides p");
  let chosen = names[0];

  const describe = () => {
    const { title, what, right, wrong } = bugs[chosen];
    find(".lt-what b").textContent = `${title}.`;
    find(".lt-what span").textContent = what;
    lines.querySelector("del").textContent = right;
    lines.querySelector("ins").textContent = wrong;
    for (const one of group.children) one.setAttribute("aria-pressed", one.dataset.bug === chosen);
  };

  const fillSide = (side, beginning, texts, parts) => {
    side.replaceChildren();
    element(side, "span", "", beginning);
    if (parts === null) return side.append(texts.join(""));
    const mark = document.createElement("mark");
    const token = texts[parts] ?? " (the end)";
    mark.textContent = token.replace(/^ +(?=.)/, "");  // the space before a word is not marked
    const space = token.slice(0, token.length - mark.textContent.length);
    side.append(texts.slice(0, parts).join("") + space, mark, texts.slice(parts + 1).join(""));
  };

  const say = (shown) => {
    const kind = shown.parts !== null ? "parts" : shown.largest < equal ? "harmless" : "same";
    return fill(says[kind], { ...shown, number: shown.parts + 1, count: shown.right.length });
  };

  // What is there already has the beginning in the field and the first bug.
  figure.root.shown = { bug: chosen, ...first };
  if (!llamaInPage.here) {
    figure.root.querySelector(".lt-controls").style.display = "none";
    hint.textContent = "The switches work in the pages of the book. In a notebook, figures.museum.explore(model, tokenizer) breaks any Llama.";
    return () => ({});
  }

  // The newest wish counts; what was asked before is not shown any more.
  let wish = 0;
  const run = async () => {
    const mine = ++wish;
    const { beginning, draws } = figure.values();
    const bug = chosen;
    figure.stage.setAttribute("aria-busy", "true");
    if (hint.textContent) hint.textContent = `Loading ${figure.llama.download} …`;
    try {
      const llama = await llamaInPage.open(figure.llama.name);
      hint.textContent = "";
      const began = performance.now();
      const shown = await llama.exhibit(beginning, { bug, count, temperature: draws ? 0.8 : 0, seed: draws });
      if (mine !== wish) return;
      fillSide(sides[0], beginning, shown.rightTexts, shown.parts);
      fillSide(sides[1], beginning, shown.brokenTexts, shown.parts);
      status.textContent = say(shown);
      figure.root.shown = { bug, beginning, draws, ...shown, ms: performance.now() - began };  // for the tests
    } catch (error) {
      if (mine !== wish) return;
      status.textContent = error.message;
      figure.root.shown = { bug, error: error.message };
    }
    figure.stage.removeAttribute("aria-busy");
  };

  for (const name of names) {
    const choose = () => {
      chosen = name;
      describe();
      run();
    };
    button(group, "", bugs[name].title, choose).dataset.bug = name;
  }
  describe();
  hint.textContent = `The first click loads ${figure.llama.params} weights (${figure.llama.download}, once).`;
  for (const input of figure.inputs) input.addEventListener("change", run);
  return () => ({});
};
