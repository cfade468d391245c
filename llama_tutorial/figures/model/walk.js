// The forward pass of a real model over one sentence, station by station. What is computed lies in
// the data (thousandths for the heat maps); here it is looked up and drawn.
const setup = (figure) => {
  const { pieces, layers, sizes, stops, ranges, weights } = figure.data;
  const [D, F, V] = sizes;
  const T = pieces.length;
  const middle = { "text-anchor": "middle" };
  // Names of stations differ in length; the controls shall not jump about.
  figure.root.querySelector(".lt-value").style.minWidth = "min(12.5em, 33vw)";

  const additionsBefore = (stop) => {
    if (stop === 0) return 0;
    const [layer, place] = [Math.floor((stop - 1) / 6), (stop - 1) % 6];
    return Math.min(2 * layer + (place >= 2) + (place >= 5), 2 * layers);
  };

  // The whole route: a dot for every station, brackets for the layers.
  const route = (svg, stop) => {
    const x = (n) => 16 + (n * 428) / (stops.length - 1);
    const rail = (from, to, more) => draw(svg, "line", { x1: x(from), y1: 34, x2: x(to), y2: 34, ...more });
    rail(0, stops.length - 1, { class: "lt-axis" });
    rail(0, stop, { stroke: color(0), "stroke-width": 4 });
    stops.forEach((_, n) => {
      const past = n <= stop;
      draw(svg, "circle", {
        cx: x(n), cy: 34, r: n === stop ? 7 : 2.6, fill: past ? color(n === stop ? 3 : 0) : "var(--lt-ink)",
      });
    });
    const every = Math.ceil(layers / 12);  // room for the numbers
    for (let layer = 0; layer < layers; layer++) {
      const [from, to] = [x(1 + 6 * layer) - 4, x(6 + 6 * layer) + 4];
      draw(svg, "path", { d: `M${from} 22V17H${to}V22`, fill: "none", class: "lt-axis" });
      if (layer % every) continue;
      draw(svg, "text", { x: (from + to) / 2, y: 12, ...middle }, layer ? String(layer + 1) : "layer 1");
    }
  };

  // The boxes of one part of the network: [words, centre, width, index of its station in the part].
  const PARTS = {
    entry: { boxes: [["tokens", 80, 90], ["tok_embeddings", 250, 150, 0]], shapes: [[80, `(${T})`], [380, `(${T}, ${D})`]] },
    layer: {
      boxes: [["norm", 66, 56, 0], ["attention", 150, 78, 1], ["+", 214, 24, 2],
        ["norm", 274, 56, 3], ["SwiGLU", 352, 68, 4], ["+", 410, 24, 5]],
      shapes: [[66, `(${T}, ${D})`], [150, `(${weights[0].length}, ${T}, ${T})`], [274, `(${T}, ${D})`], [352, `(${T}, ${F})`]],
    },
    exit: { boxes: [["norm", 110, 80, 0], ["output", 240, 90, 1], ["softmax", 370, 90]], shapes: [[110, `(${T}, ${D})`], [240, `(${T}, ${V})`], [370, `(${T}, ${V})`]] },
  };
  const part = (svg, kind, active) => {
    const y = 88;
    draw(svg, "line", { x1: 8, y1: y, x2: 452, y2: y, class: "lt-axis" });
    if (kind === "layer") {  // the stream goes past each sub-layer, straight to the addition
      for (const [from, to] of [[26, 214], [232, 410]]) {
        const d = `M${from} ${y}V${y + 36}H${to}V${y + 13}`;
        draw(svg, "path", { d, fill: "none", stroke: color(0), "stroke-width": 2.4 });
      }
    }
    for (const [words, cx, width, index] of PARTS[kind].boxes) {
      const on = index === active;
      const box = { x: cx - width / 2, y: y - 13, width, height: 26, rx: words === "+" ? 12 : 4 };
      draw(svg, "rect", { ...box, fill: "var(--pst-color-background, var(--jp-layout-color0, Canvas))" });
      draw(svg, "rect", {
        ...box, fill: on ? color(3) : "none", "fill-opacity": 0.25, stroke: on ? color(3) : "var(--lt-ink)", "stroke-width": on ? 2.6 : 1,
      });
      draw(svg, "text", { x: cx, y: y + 4.5, ...middle }, words);
    }
    for (const [cx, shape] of PARTS[kind].shapes) {
      draw(svg, "text", { x: cx, y: y - 20, ...middle, style: "font-size: 11px" }, shape);
    }
  };

  // One panel: a row of cells for each token.
  const heat = (svg, left, width, [title, rows, top], token) => {
    const [y, step] = [166, 14];
    const columns = Math.max(...rows.map((row) => row.length));
    draw(svg, "text", { x: left + width / 2, y: y - 8, ...middle }, title);
    rows.forEach((row, t) => row.forEach((value, f) => {
      const strength = Math.min(1, Math.abs(value) / top);
      if (strength < 0.02) return;
      draw(svg, "rect", {
        x: (left + (f * width) / columns).toFixed(1), y: y + t * step, width: (width / columns).toFixed(1), height: step,
        fill: color(value < 0 ? 1 : 0), "fill-opacity": strength.toFixed(2),
      });
    }));
    draw(svg, "rect", { x: left, y, width, height: rows.length * step, fill: "none", class: "lt-grid" });
    draw(svg, "rect", { x: left - 1, y: y + token * step, width: width + 2, height: step, fill: "none", stroke: color(3), "stroke-width": 1.8 });
  };

  const words = (svg, x, title, rows, token) => {
    draw(svg, "text", { x, y: 158, ...middle }, title);
    rows.forEach((row, t) => draw(svg, "text", {
      x, y: 177 + 14 * t, ...middle, style: `font-size: 12px; font-weight: ${t === token ? 700 : 400}`,
    }, row));
  };

  const panels = (stop, head) => {
    const panel = (title, kind, n) => [title, figure.data[kind][n], ranges[kind][n]];
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
    const looks = [`weights of head ${head}`, weights[layer][head - 1], 1];
    return [place === 1 ? looks : panel("gated activations", "hidden", layer), added];
  };

  return ({ station, token, head }) => {
    const stop = stops.indexOf(station);
    const additions = additionsBefore(stop);
    const svg = figure.svg(460, 256 + 14 * T);
    route(svg, stop);
    const layer = Math.min(Math.floor(Math.max(stop - 1, 0) / 6), layers - 1);
    const kind = stop === 0 ? "entry" : stop > 6 * layers ? "exit" : "layer";
    part(svg, kind, kind === "layer" ? (stop - 1) % 6 : kind === "exit" ? stop - 6 * layers - 1 : 0);

    const [left, right] = panels(stop, head);
    pieces.forEach((piece, t) => {
      const look = { x: 74, y: 177 + 14 * t, "text-anchor": "end", style: `font-size: 12px; font-weight: ${t === token ? 700 : 400}` };
      draw(svg, "text", look, piece);
    });
    if (left) heat(svg, 80, 178, left, token);
    else words(svg, 169, "token ids", figure.data.ids.map(String), token);
    if (right) heat(svg, 276, 178, right, token);
    else words(svg, 365, "best guess for the next", figure.data.guess.at(-1).map((best) => best[0]), token);
    const size = figure.data.streamSize[additions][token];
    const guess = figure.data.guess[additions][token];
    const probability = figure.data.probability[additions][token];
    const bottom = 166 + 14 * T + 22;
    draw(svg, "text", { x: 8, y: bottom }, `if the model ended here: after ${pieces[token]} comes`);
    guess.forEach((piece, n) => {
      const y = bottom + 20 + 19 * n;
      draw(svg, "text", { x: 96, y, "text-anchor": "end" }, piece);
      draw(svg, "rect", { x: 104, y: y - 11, width: Math.max(1, 270 * probability[n]), height: 13, fill: color(0) });
      draw(svg, "text", { x: 112 + 270 * probability[n], y }, textOf(probability[n]));
    });

    const row = weights[layer][head - 1][token];
    const weight = Math.max(...row);
    return {
      size, addition: additions ? figure.data.addedSize[additions - 1][token] : "none yet",
      guess: guess[0], probability: probability[0], looks: pieces[row.indexOf(weight)], weight,
    };
  };
};
