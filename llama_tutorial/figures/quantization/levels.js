// 64 weights of a row, the levels that a few bits leave them, and what the model writes then.
const setup = (figure) => {
  const { weights, row, matrix, first, beginning, trained, count, measured, texts } = figure.data;
  const { params, download } = figure.llama;
  const far = Math.max(...weights.map(Math.abs));
  const farthest = (own) => {
    const [low, high] = [Math.min(...own), Math.max(...own)];
    return -low >= high ? low : high;
  };

  // Each group: where it begins and ends, its step, and its weights as they are after.
  const groupsOf = (bits, group) => {
    const size = typeof group === "number" ? group : weights.length;
    const middle = 2 ** (bits - 1);
    const found = [];
    for (let at = 0; at < weights.length; at += size) {
      const own = weights.slice(at, at + size);
      const step = ({ matrix, row }[group] ?? farthest(own)) / -middle;
      const places = own.map((w) => Math.min(Math.max(Math.floor(w / step + middle + 0.5), 0), 2 * middle - 1) - middle);
      found.push({ from: at, to: at + own.length, step, middle, after: places.map((place) => place * step) });
    }
    return found;
  };

  // The picture.
  const picture = (bits, group) => {
    const svg = draw(board, "svg", { viewBox: "0 0 406 300", role: "img", style: "max-width: 560px" });
    const plot = axes(svg, {
      x: [first - 1, first + weights.length], y: [-far * 1.25, far * 1.25], box: [40, 26, 396, 256],
      xLabel: "place in the row", yLabel: "weight", xTicks: [64, 80, 96, 112, 127], yTicks: [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3],
    });
    const groups = groupsOf(bits, group);
    for (const { from, to, step, middle, after } of groups) {
      const [left, right] = [plot.x(first + from - 0.5), plot.x(first + to - 0.5)];
      for (let place = -middle; place < middle; place++) {
        const level = place * step;
        if (Math.abs(level) > far * 1.24) continue;
        const look = { stroke: color(4), "stroke-width": bits > 4 ? 0.6 : 1.4, opacity: bits > 6 ? 0.5 : 0.9 };
        draw(svg, "line", { x1: left + 2, x2: right - 2, y1: plot.y(level), y2: plot.y(level), ...look });
      }
      after.forEach((value, i) => {
        const x = plot.x(first + from + i);
        draw(svg, "line", { x1: x, x2: x, y1: plot.y(weights[from + i]), y2: plot.y(value), stroke: color(1), "stroke-width": 2 });
        draw(svg, "rect", { x: x - 2.2, y: plot.y(value) - 2.2, width: 4.4, height: 4.4, fill: color(1) });
      });
      if (to < weights.length) draw(svg, "line", { x1: right, x2: right, y1: 26, y2: 256, stroke: color(2), "stroke-width": 1, "stroke-dasharray": "2 3" });
    }
    weights.forEach((weight, i) => plot.dot([first + i, weight], 0, { r: 2.6 }));
    // The first group's edge, which can be dragged: beyond the picture lies the row, and the matrix.
    const edge = plot.x(first + groups[0].to - 0.5);
    draw(svg, "line", { x1: edge, x2: edge, y1: 22, y2: 260, stroke: color(2), "stroke-width": 3, "stroke-dasharray": "7 4" });
    const handle = { x: edge - 15, y: 20, width: 30, height: 240, fill: "none" };
    figure.drag(draw(svg, "rect", handle), (px) => {
      const size = plot.at(px, 0)[0] - first;
      if (size > 66) return { group: "row" };
      return { group: [16, 32, 64].reduce((best, one) => (Math.abs(one - size) < Math.abs(best - size) ? one : best)) };
    });
    return groups;
  };

  figure.stage.replaceChildren();
  const board = element(figure.stage, "div", "lt-board");
  const desk = element(figure.stage, "div", "lt-quantized");
  const page = element(desk, "p", "lt-tale");
  const [begun, same, other] = [element(page, "b"), element(page, "span"), element(page, "mark")];
  const bar = element(desk, "div", "lt-bar");
  const field = figure.inputs.find((input) => input.dataset.name === "beginning");
  const control = field.closest(".lt-control");

  // What a rounded model wrote, marked from the first word in which it left the trained one.
  const show = (begin, text, before) => {
    let shared = 0;
    while (shared < text.length && text[shared] === before[shared]) shared++;
    if (shared < text.length) while (shared > 0 && text[shared - 1] !== " ") shared--;
    begun.textContent = begin;
    same.textContent = text.slice(0, shared);
    other.textContent = text.slice(shared);
    figure.root.shown = { begin, text, shared };  // for the tests
  };

  const key = ({ bits, group }) => `${bits} bits, ${group}`;
  let status = null;
  let [wish, running] = [0, null];
  const remembered = {};  // by beginning, and by setting

  const write = async (values) => {
    const begin = values.beginning;
    running?.abort();
    const [mine, stop] = [++wish, (running = new AbortController())];
    const texts = (remembered[begin] ??= {});
    desk.setAttribute("aria-busy", "true");
    status.textContent = `Loading ${download} …`;
    try {
      const llama = await llamaInPage.open(figure.llama.name);
      if (mine !== wish) return;
      status.textContent = "Writing …";
      const options = { temperature: 0, maxNewTokens: count, signal: stop.signal };
      const { bits, group } = values;
      const before = texts.trained ?? (await llama.write(begin, options)).text;
      if (mine !== wish) return;
      texts.trained = before;
      const found = await llama.write(begin, { ...options, quantize: { bits, group } });
      if (mine !== wish) return;
      texts[key(values)] = found.text;
      show(begin, found.text, before);
      figure.root.written = { ...found, bits, group };  // for the tests
      status.textContent = "Written in this page, from weights that it has rounded itself.";
    } catch (error) {
      if (mine === wish) status.textContent = error.message;
    }
    if (mine === wish) desk.removeAttribute("aria-busy");
  };

  if (!llamaInPage.here) control.style.display = bar.style.display = "none";
  else {
    const main = button(bar, "lt-main", "Write it in this page", () => write(figure.values()));
    status = element(bar, "span", "lt-status", `${params} weights, loaded at the first click (${download}, once).`);
    status.setAttribute("role", "status");
    main.title = "Round the weights and write";
    figure.root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === field && !event.isComposing) write(figure.values());
    }, true);
  }

  return (values) => {
    const { bits, group } = values;
    const begin = llamaInPage.here ? values.beginning : beginning;
    board.replaceChildren();
    const groups = picture(bits, group);
    const after = groups.flatMap((one) => one.after);
    const known = begin === beginning ? { trained, ...texts } : remembered[begin];
    const text = (known ?? {})[key(values)] ?? remembered[begin]?.[key(values)];
    if (text !== undefined) show(begin, text, known.trained);
    else if (remembered[begin]) write(values);  // the model is here: at once
    else show(begin, "", "");
    const squares = after.reduce((sum, value, i) => sum + (value - weights[i]) ** 2, 0);
    const [width, perplexity] = measured[key(values)];
    return {
      zeros: after.filter((value) => value === 0).length,
      used: new Set(after.map((value) => value + 0)).size,
      error: 100 * Math.sqrt(squares / weights.reduce((sum, weight) => sum + weight ** 2, 0)),
      width,
      perplexity,
    };
  };
};
