// The forward pass of a real model over one sentence, station by station. What is computed lies in
// the data (thousandths for the heat maps); here it is looked up and drawn.
const setup = (figure) => {
  const { layers, sizes, stops, most } = figure.data;
  const [D, F, V] = sizes;
  let shown = figure.data;  // or the same of the reader's own text
  const middle = { "text-anchor": "middle" };
  const ROW = 17;  // a finger's worth, nearly
  const NAMES = 78;  // room for the tokens beside the panels
  const stopNow = () => stops.indexOf(figure.values().station);
  // Names of stations differ in length; the controls shall not jump about.
  figure.root.querySelector(".lt-value").style.minWidth = "min(12.5em, 33vw)";

  // Drawn as wide as there is room, so that its writing has one size everywhere.
  const room = () => Math.round(Math.min(640, Math.max(320, figure.stage.clientWidth || 460)));
  let drawn = room();
  new ResizeObserver(() => {
    if (room() === drawn) return;
    figure.readout.style.minHeight = "";  // the room it had at another width
    figure.refresh();
  }).observe(figure.stage);

  // Play, and jumps from addition to addition.
  const isAddition = (stop) => /added$/.test(stops[stop]);
  const toAddition = (step) => {
    let stop = stopNow() + step;
    while (stop > 0 && stop < stops.length - 1 && !isAddition(stop)) stop += step;
    return Math.max(0, Math.min(stops.length - 1, stop));
  };
  let timer = null;
  const pause = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ play";
    figure.readout.removeAttribute("aria-live");
  };
  const toggle = () => {
    if (timer) return pause();
    if (stopNow() === stops.length - 1) figure.set({ station: stops[0] });
    play.textContent = "pause";
    figure.readout.setAttribute("aria-live", "off");  // it would not stop talking
    timer = setInterval(() => {
      const next = stopNow() + 1;
      if (!figure.root.isConnected || !figure.root.offsetWidth || next >= stops.length) return pause();
      moving = true;
      figure.set({ station: stops[next] });
      moving = false;
    }, 900);
  };
  let moving = false;  // by the clock, not by the reader
  const bar = document.createElement("div");
  bar.className = "lt-jumps";
  const button = (words, act) => {
    const one = document.createElement("button");
    one.type = "button";
    one.textContent = words;
    one.addEventListener("click", act);
    return bar.appendChild(one);
  };
  const jump = (where) => () => {
    pause();
    figure.set({ station: stops[where()] });
  };
  button("start", jump(() => 0));
  button("◀ addition", jump(() => toAddition(-1)));
  const play = button("▶ play", toggle);
  button("addition ▶", jump(() => toAddition(1)));
  button("end", jump(() => stops.length - 1));
  figure.stage.before(bar);
  for (const input of figure.inputs) {
    if (input.dataset.name === "station") input.addEventListener("input", () => moving || pause());
  }

  // The reader's own text, read by the model in this page.
  const size = (x) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
  const walkOf = (seen) => {
    const piece = (token) => token.piece.replaceAll(" ", "▁");
    const flows = seen.map((one) => one.flow);
    const states = (name) => flows[0][name].map((_, n) => flows.map((flow) => flow[name][n]));  // [n][token]
    const found = { pieces: seen.map(piece), ids: seen.map((one) => one.id), ranges: {} };
    for (const name of ["stream", "normed", "added", "hidden"]) {
      const sizesOf = states(name).map((rows) => rows.map(size));
      found.ranges[name] = sizesOf.map((all) => {
        const middling = [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];
        return Math.max(1, Math.round(3000 * middling));
      });
      const columns = figure.data[name][0][0].length;
      found[name] = states(name).map((rows) => rows.map((row) => Array.from(row.slice(0, columns), (x) => Math.round(1000 * x))));
      if (name === "stream") found.streamSize = sizesOf;
      if (name === "added") found.addedSize = sizesOf;
    }
    const heads = seen[0].attention[0].map((_, head) => head);
    found.weights = seen[0].attention.map((_, layer) =>
      heads.map((head) => seen.map((one) => Array.from(one.attention[layer][head]))));
    const guesses = flows[0].guesses.map((_, n) => flows.map((flow) => flow.guesses[n]));
    found.guess = guesses.map((rows) => rows.map((row) => row.map(piece)));
    found.probability = guesses.map((rows) => rows.map((row) => row.map((token) => token.probability)));
    return found;
  };
  const show = (walk) => {
    shown = walk;
    const select = figure.inputs.find((input) => input.dataset.name === "token");
    select.replaceChildren(...walk.pieces.map((piece, t) => new Option(`${t}  ${piece}`, JSON.stringify(t))));
    select.value = JSON.stringify(walk.pieces.length - 1);
    figure.readout.style.minHeight = "";
    figure.refresh();
  };
  const addOwnText = () => {
    const form = document.createElement("form");
    form.className = "lt-own";
    const label = form.appendChild(document.createElement("label"));
    label.append("your own text ");
    const field = label.appendChild(document.createElement("input"));
    Object.assign(field, { type: "text", maxLength: 160, autocomplete: "off", spellcheck: false });
    field.value = "Mia lost her red ball, and she was very";
    const go = form.appendChild(document.createElement("button"));
    go.textContent = "walk";
    const status = form.appendChild(document.createElement("p"));
    status.setAttribute("role", "status");
    status.textContent = `The first walk loads the model (${figure.llama.download}, once).`;
    form.addEventListener("keydown", (event) => event.stopPropagation());  // JupyterLab's shortcuts
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      pause();
      status.textContent = `Loading ${figure.llama.download} …`;
      try {
        const llama = await llamaInPage.open(figure.llama.name);
        const { ids } = await llama.encode(field.value, { bos: true });
        if (ids.length < 2 || ids.length > most) {
          throw new Error(`With BOS this text has ${ids.length} tokens; the walk shows 2 to ${most}.`);
        }
        const seen = [];
        await llama.read(ids, { look: { attention: true, flow: true }, onSeen: (one) => seen.push(one) });
        show(walkOf(seen));
        figure.root.walk = shown;  // for the tests
        status.textContent = `${ids.length} tokens, read in this page.`;
      } catch (error) {
        status.textContent = error.message;
      }
    });
    figure.stage.before(form);
  };
  if (figure.llama && typeof llamaInPage !== "undefined" && llamaInPage.here) addOwnText();

  const additionsBefore = (stop) => {
    if (stop === 0) return 0;
    const [layer, place] = [Math.floor((stop - 1) / 6), (stop - 1) % 6];
    return Math.min(2 * layer + (place >= 2) + (place >= 5), 2 * layers);
  };

  // The whole route: a dot for every station, brackets for the layers. It can be dragged.
  const route = (svg, W, stop) => {
    const last = stops.length - 1;
    const x = (n) => 14 + (n * (W - 28)) / last;
    const rail = (from, to, more) => draw(svg, "line", { x1: x(from), y1: 34, x2: x(to), y2: 34, ...more });
    rail(0, last, { class: "lt-axis" });
    rail(0, stop, { stroke: color(0), "stroke-width": 4 });
    stops.forEach((_, n) => {
      if (n !== stop) draw(svg, "circle", { cx: x(n), cy: 34, r: 2.4, fill: n < stop ? color(0) : "var(--lt-ink)" });
    });
    const every = Math.ceil(layers / 12);  // room for the numbers
    for (let layer = 0; layer < layers; layer++) {
      const [from, to] = [x(1 + 6 * layer) - 3, x(6 + 6 * layer) + 3];
      draw(svg, "path", { d: `M${from} 22V17H${to}V22`, fill: "none", class: "lt-axis" });
      if (layer % every) continue;
      draw(svg, "text", { x: (from + to) / 2, y: 12, ...middle }, layer ? String(layer + 1) : "layer 1");
    }
    draw(svg, "circle", { cx: x(stop), cy: 34, r: 7, fill: color(3) });
    const handle = draw(svg, "circle", { cx: x(stop), cy: 34, r: 17, fill: "none" });
    figure.drag(handle, (px) => {
      const n = Math.round(((px - 14) * last) / (W - 28));
      return { station: stops[Math.max(0, Math.min(last, n))] };
    });
  };

  // The boxes of one part of the network: [words, centre, width, index of its station in the part],
  // on a rail of 460 units; shapes stand above them.
  const parts = (T, H) => ({
    entry: { boxes: [["tokens", 80, 90], ["tok_embeddings", 250, 150, 0]], shapes: [[80, `(${T})`], [400, `(${T}, ${D})`]] },
    layer: {
      boxes: [["norm", 62, 60, 0], ["attention", 148, 90, 1], ["+", 214, 24, 2],
        ["norm", 276, 60, 3], ["SwiGLU", 357, 76, 4], ["+", 418, 24, 5]],
      shapes: [[62, `(${T}, ${D})`], [148, `(${H}, ${T}, ${T})`], [276, `(${T}, ${D})`], [357, `(${T}, ${F})`]],
    },
    exit: { boxes: [["norm", 90, 80, 0], ["output", 230, 90, 1], ["softmax", 370, 100]], shapes: [[90, `(${T}, ${D})`], [230, `(${T}, ${V})`], [370, `(${T}, ${V})`]] },
  });
  const part = (svg, W, kind, active) => {
    const [y, s] = [90, W / 460];
    const { boxes, shapes } = parts(shown.pieces.length, shown.weights[0].length)[kind];
    draw(svg, "line", { x1: 6, y1: y, x2: W - 6, y2: y, class: "lt-axis" });
    if (kind === "layer") {  // the stream goes past each sub-layer, straight to the addition
      for (const [from, to] of [[18, 214], [236, 418]]) {
        const d = `M${s * from} ${y}V${y + 34}H${s * to}V${y + 13}`;
        draw(svg, "path", { d, fill: "none", stroke: color(0), "stroke-width": 2.4 });
      }
    }
    for (const [words, cx, width, index] of boxes) {
      const on = index === active;
      const wide = words === "+" ? 24 : Math.max(s * width, 7.4 * words.length);
      const box = { x: s * cx - wide / 2, y: y - 13, width: wide, height: 26, rx: words === "+" ? 12 : 4 };
      draw(svg, "rect", { ...box, fill: "var(--pst-color-background, var(--jp-layout-color0, Canvas))" });
      draw(svg, "rect", {
        ...box, fill: on ? color(3) : "none", "fill-opacity": 0.25, stroke: on ? color(3) : "var(--lt-ink)", "stroke-width": on ? 2.6 : 1,
      });
      draw(svg, "text", { x: s * cx, y: y + 4.5, ...middle }, words);
    }
    for (const [cx, shape] of shapes) {
      draw(svg, "text", { x: s * cx, y: y - 20, ...middle, style: "font-size: 11.5px" }, shape);
    }
  };

  const TOP = 168;  // of the panels
  // One panel: a row of cells for each token.
  const heat = (svg, left, width, [title, rows, top], token) => {
    const columns = Math.max(...rows.map((row) => row.length));
    draw(svg, "text", { x: left + width / 2, y: TOP - 8, ...middle }, title);
    rows.forEach((row, t) => row.forEach((value, f) => {
      const strength = Math.min(1, Math.abs(value) / top);
      if (strength < 0.02) return;
      draw(svg, "rect", {
        x: (left + (f * width) / columns).toFixed(1), y: TOP + t * ROW, width: (width / columns).toFixed(1), height: ROW,
        fill: color(value < 0 ? 1 : 0), "fill-opacity": strength.toFixed(2),
      });
    }));
    draw(svg, "rect", { x: left, y: TOP, width, height: rows.length * ROW, fill: "none", class: "lt-grid" });
    draw(svg, "rect", { x: left - 1, y: TOP + token * ROW, width: width + 2, height: ROW, fill: "none", stroke: color(3), "stroke-width": 1.8 });
  };

  const words = (svg, x, title, rows, token) => {
    draw(svg, "text", { x, y: TOP - 8, ...middle }, title);
    rows.forEach((row, t) => draw(svg, "text", {
      x, y: TOP + 13 + ROW * t, ...middle, style: `font-weight: ${t === token ? 700 : 400}`,
    }, row));
  };

  const panels = (stop, head) => {
    const panel = (title, kind, n) => [title, shown[kind][n], shown.ranges[kind][n]];
    const [layer, place] = [Math.floor((stop - 1) / 6), (stop - 1) % 6];
    if (stop === 0) return [null, panel("rows of the table", "stream", 0)];
    const normed = panel("normed", "normed", 2 * layer + (place > 2));
    if (layer === layers && place === 1) return [panel("normed", "normed", 2 * layers), null];
    const stream = panel("stream", "stream", 2 * layer + (place > 2));
    if (place % 3 === 0) return [stream, normed];
    const s = 2 * layer + (place > 2);
    const added = panel("to be added", "added", s);
    const after = panel("stream after", "stream", s + 1);
    if (place % 3 === 2) return [[added[0], added[1], after[2]], after];  // on the stream's scale
    const looks = [`weights of head ${head}`, shown.weights[layer][head - 1], 1];
    return [place === 1 ? looks : panel("gated activations", "hidden", layer), added];
  };

  return ({ station, token, head }) => {
    const W = (drawn = room());
    const { pieces } = shown;
    const T = pieces.length;
    const stop = stops.indexOf(station);
    const additions = additionsBefore(stop);
    const bottom = TOP + ROW * T + 24;
    const svg = figure.svg(W, bottom + 66);
    route(svg, W, stop);
    const layer = Math.min(Math.floor(Math.max(stop - 1, 0) / 6), layers - 1);
    const kind = stop === 0 ? "entry" : stop > 6 * layers ? "exit" : "layer";
    part(svg, W, kind, kind === "layer" ? (stop - 1) % 6 : kind === "exit" ? stop - 6 * layers - 1 : 0);

    const [left, right] = panels(stop, head);
    const gap = 14;
    const width = (W - NAMES - gap - 4) / 2;
    const second = NAMES + width + gap;
    pieces.forEach((piece, t) => {
      const look = { x: NAMES - 6, y: TOP + 13 + ROW * t, "text-anchor": "end", style: `font-weight: ${t === token ? 700 : 400}` };
      draw(svg, "text", look, piece);
    });
    if (left) heat(svg, NAMES, width, left, token);
    else words(svg, NAMES + width / 2, "token ids", shown.ids.map(String), token);
    if (right) heat(svg, second, width, right, token);
    else words(svg, second + width / 2, "best guess", shown.guess.at(-1).map((best) => best[0]), token);
    pieces.forEach((_, t) => {  // a tap on a row chooses its token
      const row = { x: 0, y: TOP + t * ROW, width: W, height: ROW, fill: "transparent", class: "lt-row" };
      draw(svg, "rect", row).addEventListener("click", () => figure.set({ token: t }));
    });

    const size = shown.streamSize[additions][token];
    const guess = shown.guess[additions][token];
    const probability = shown.probability[additions][token];
    draw(svg, "text", { x: 6, y: bottom }, `if the model ended here: after ${pieces[token]} comes`);
    const longest = W - 104 - 56;
    guess.forEach((piece, n) => {
      const y = bottom + 20 + 19 * n;
      draw(svg, "text", { x: 96, y, "text-anchor": "end" }, piece);
      draw(svg, "rect", { x: 104, y: y - 11, width: Math.max(1, longest * probability[n]), height: 13, fill: color(0) });
      draw(svg, "text", { x: 112 + longest * probability[n], y }, probability[n] < 0.0005 ? "< 0.001" : textOf(probability[n]));
    });

    const row = shown.weights[layer][head - 1][token];
    const weight = Math.max(...row);
    return {
      size, addition: additions ? shown.addedSize[additions - 1][token] : "none yet",
      guess: guess[0], probability: probability[0], looks: pieces[row.indexOf(weight)], weight,
    };
  };
};
