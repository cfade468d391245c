// GPT-2 and, beside it, what it becomes: one residual stream from top to bottom in each column, with
// the parts that read from it and add to it. A part that differs has the color of its switch.
const CHANGES = ["norm", "positions", "feed_forward", "ends", "groups"];
const NEUTRAL = "var(--lt-ink)";
const HEIGHT = 488;
const GAP = 8;  // between the columns

const setup = (figure) => {
  const { sizes } = figure.data;
  const words = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  const labels = Object.fromEntries(
    figure.inputs.map((one) => [one.dataset.name, one.closest("label").textContent.trim()]),
  );

  // The picture is drawn as wide as there is room, so its writing has one size everywhere.
  const room = () => Math.round(Math.min(700, Math.max(320, figure.stage.clientWidth || 640)));
  let drawn = room();
  new ResizeObserver(() => {
    if (room() !== drawn) figure.refresh();
  }).observe(figure.stage);

  const column = (svg, left, width, isNew, on, size, title, links) => {
    const wide = width > 250;
    const end = left + width - (wide ? 22 : 9);
    const stream = left + 20;
    const inner = { x: left + (wide ? 54 : 37), right: end - (wide ? 12 : 5) };
    const middle = (inner.x + inner.right) / 2;
    const differs = (name) => on[name];
    const paint = (name) => (differs(name) ? color(CHANGES.indexOf(name)) : NEUTRAL);
    const has = (name) => isNew && on[name];  // Llama 2's form of a part

    const text = (x, y, said, more = {}, size_ = 11) =>
      draw(svg, "text", { x, y, style: `font-size: ${size_}px`, ...more }, said);
    const rule = (d, more = {}) =>
      draw(svg, "path", { d, fill: "none", stroke: NEUTRAL, "stroke-width": 1.4, ...more });
    const arrow = (x1, y1, x2, y2, stroke = NEUTRAL) => {
      rule(`M${x1} ${y1}L${x2} ${y2}`, { stroke });
      const [a, b] = [Math.sign(x2 - x1), Math.sign(y2 - y1)];
      const d = `M${x2} ${y2}l${-6 * a + 3.5 * b} ${-6 * b + 3.5 * a}l${-7 * b} ${-7 * a}z`;
      draw(svg, "path", { d, fill: stroke });
    };
    // A part: framed in its color if it differs, tinted if it is the new one.
    const box = (x, y, right, height, name, more = {}) => {
      const stroke = name ? paint(name) : NEUTRAL;
      const changed = name && differs(name);
      const frame = { x, y, width: right - x, height, rx: 5, stroke, "stroke-width": changed ? 2 : 1 };
      const fill = changed && isNew ? { fill: stroke, "fill-opacity": 0.16 } : { fill: "none" };
      return draw(svg, "rect", { ...frame, ...fill, ...more });
    };
    const plus = (y) => {
      draw(svg, "circle", { cx: stream, cy: y, r: 8, stroke: NEUTRAL, class: "lt-ground" });
      rule(`M${stream - 4} ${y}h8M${stream} ${y - 4}v8`);
    };
    const link = (chapter, label, x, y, right, height) =>
      links.push({ chapter, label, x, y, width: right - x, height, isNew });
    // The mark of a bias, in a part that has one.
    const bias = (y) => {
      if (has("ends")) return;
      const style = `font-size: 11px; font-weight: 700; fill: ${paint("ends")}`;
      text(inner.right - 7, y, "+ b", { "text-anchor": "end", class: "lt-bias", style });
    };
    const heading = (x, y, said) =>
      text(x, y, said, { style: "font-size: 12.5px; font-weight: 600" });

    // In: tokens, their vectors, and positions.
    text((left + end) / 2, 13, title, { "text-anchor": "middle", style: "font-size: 15px; font-weight: 700" });
    box(left, 26, end, 28, "ends");
    heading(left + 8, 45, "token embedding");
    if (wide) text(end - 8, 45, `${words(size.dim)} numbers a token`, { "text-anchor": "end" });
    link("gpt", "token embedding", left, 26, end, 28);

    // The stream itself lies under what is added to it.
    const bottom = 402;
    draw(svg, "path", { d: `M${stream} 54V${bottom}`, stroke: NEUTRAL, "stroke-width": 5, "stroke-opacity": 0.28 });
    arrow(stream, bottom - 12, stream, bottom);
    const side = stream - 12;
    text(side, 240, "residual stream", { "text-anchor": "middle", transform: `rotate(-90 ${side} 240)` }, 10.5);

    if (has("positions")) {
      box(inner.x, 64, inner.right, 26, "", { stroke: paint("positions"), "stroke-dasharray": "3 3", "stroke-opacity": 0.8 });
      text(inner.x + 8, 81, wide ? "no position vectors" : "nothing is added", { style: "font-size: 11px; font-style: italic" });
    } else {
      box(inner.x, 64, inner.right, 26, "positions");
      heading(inner.x + 8, 81, wide ? "position embedding" : "positions");
      arrow(inner.x, 77, stream + 8, 77, paint("positions"));
      plus(77);
    }
    link("rope", "positions", inner.x, 64, inner.right, 26);

    // One layer.
    draw(svg, "rect", { x: left, y: 100, width: end - left, height: 292, rx: 8, fill: "none", stroke: NEUTRAL, "stroke-opacity": 0.6, "stroke-dasharray": "1 3", "stroke-linecap": "round" });
    text(inner.right, 384, `× ${size.layers} layers`, { "text-anchor": "end", style: "font-size: 11px; font-weight: 600" });

    const norm = (y) => {
      arrow(stream, y + 16, inner.x, y + 16);
      box(inner.x, y, inner.right, 32, "norm");
      heading(inner.x + 8, y + 13.5, has("norm") ? "RMSNorm" : "LayerNorm");
      const scaled = wide ? "(x − mean) / std" : "(x − μ) / σ";
      text(inner.x + 8, y + 26.5, has("norm") ? "x / rms(x)" : scaled);
      if (!has("norm")) bias(y + (wide ? 13.5 : 26.5));  // a narrow heading leaves it no room
      link("rmsnorm", has("norm") ? "RMSNorm" : "LayerNorm", inner.x, y, inner.right, 32);
    };
    const added = (y) => {
      arrow(inner.x, y, stream + 8, y);
      plus(y);
    };

    norm(108);
    arrow(middle, 140, middle, 150);
    attention(150);
    added(231);
    norm(252);
    arrow(middle, 284, middle, 294);
    feedForward(294);
    added(360);

    // Out.
    box(left, bottom, end, 26, "norm");
    heading(left + 8, bottom + 17.5, has("norm") ? "RMSNorm" : "LayerNorm");
    link("rmsnorm", "last norm", left, bottom, end, 26);
    arrow(stream, bottom + 26, stream, bottom + 36);
    box(left, bottom + 36, end, 28, "ends");
    heading(left + 8, bottom + 54.5, "output head");
    link("model", "output head", left, bottom + 36, end, 28);
    const own = has("ends");
    const matrix = own ? "a matrix of its own" : "the embedding’s matrix";
    if (wide) text(end - 8, bottom + 54.5, matrix, { "text-anchor": "end" });
    if (!own) {
      const d = `M${end} 40h6V${bottom + 50}h-6`;
      rule(d, { stroke: paint("ends"), "stroke-width": differs("ends") ? 2 : 1.4, "stroke-dasharray": "5 3" });
      const x = end + 18;
      if (wide) text(x, 240, "the same matrix", { "text-anchor": "middle", transform: `rotate(-90 ${x} 240)` }, 10.5);
    }
    arrow(stream, bottom + 64, stream, bottom + 76);
    text(stream + 12, bottom + 78, wide ? "scores for the next token" : "next-token scores");

    function attention(y) {
      const height = 92;
      box(inner.x, y, inner.right, height, "groups");
      heading(inner.x + 8, y + 15, "attention");
      bias(y + 15);
      const [n, kv] = [size.heads, has("groups") ? size.kv_heads : size.heads];
      heads(y + 22, n, kv);
      const said = wide ? `${n} query heads, ${kv} key and value heads` : `${n} q, ${kv} k/v heads`;
      text(inner.x + 8, y + 65, said);
      if (has("positions")) {
        box(inner.x + 6, y + 71, inner.right - 6, 17, "positions", { rx: 8 });
        text(middle, y + 83.5, wide ? "RoPE rotates queries and keys" : "RoPE on q and k", { "text-anchor": "middle" });
      }
      link("gqa", has("groups") ? "grouped-query attention" : "attention", inner.x, y, inner.right, height - 22);
      if (has("positions")) link("rope", "RoPE", inner.x, y + 70, inner.right, 22);
    }

    // Query heads as dots, the keys that they share as bars under them; of many heads the first ones.
    function heads(y, n, kv) {
      const shown = Math.min(n, 16);
      const group = n / kv;
      const [from, to] = [inner.x + 8, inner.right - (n > shown ? 22 : 8)];
      const step = (to - from) / shown;
      const stroke = paint("groups");
      for (let first = 0; first < shown; first += group) {
        const last = first + group - 1;
        const centre = from + ((first + last + 1) / 2) * step;
        for (let head = first; head <= last; head++) {
          const x = from + (head + 0.5) * step;
          rule(`M${x} ${y + 5}L${centre} ${y + 22}`, { stroke, "stroke-width": 1 });
          draw(svg, "circle", { cx: x, cy: y + 5, r: Math.min(3.5, step * 0.42), fill: stroke, class: "lt-query" });
        }
        const inset = Math.min(2, step * 0.14);
        const [x, width_] = [from + first * step + inset, group * step - 2 * inset];
        draw(svg, "rect", { x, y: y + 22, width: width_, height: 7, rx: 1.5, fill: stroke, class: "lt-key" });
      }
      if (n > shown) text(to + 5, y + 17, "…", {}, 13);
    }

    function feedForward(y) {
      const height = 76;
      const gated = has("feed_forward");
      box(inner.x, y, inner.right, height, "feed_forward");
      heading(inner.x + 8, y + 15, gated ? "SwiGLU" : "feed-forward");
      bias(y + (wide ? 15 : 70));
      const stroke = paint("feed_forward");
      const [w, h] = [wide ? 34 : 24, 16];
      const [a, c] = [inner.x + 8, inner.right - 8 - w];
      const matrix = (x, top, said) => {
        draw(svg, "rect", { x, y: top, width: w, height: h, rx: 2, fill: "none", stroke, class: "lt-matrix" });
        text(x + w / 2, top + 12, said, { "text-anchor": "middle" });
      };
      const line = (d) => rule(d, { stroke, "stroke-width": 1.2 });
      const mid = y + 38;
      const bend = c - (wide ? 40 : 20);
      if (gated) {
        matrix(a, mid - 18, "w1");
        matrix(a, mid + 2, "w3");
        line(`M${a + w} ${mid - 10}H${bend}V${mid - 6}M${a + w} ${mid + 10}H${bend}V${mid + 6}M${bend + 6} ${mid}H${c}`);
        draw(svg, "circle", { cx: bend, cy: mid, r: 6, fill: "none", stroke });
        line(`M${bend - 2.6} ${mid - 2.6}l5.2 5.2m0 -5.2l-5.2 5.2`);
        text((a + w + bend) / 2, mid - 12.5, "SiLU", { "text-anchor": "middle" }, 10.5);
      } else {
        matrix(a, mid - 8, "w1");
        line(`M${a + w} ${mid}H${c}`);
        text((a + w + c) / 2, mid - 4, "GELU", { "text-anchor": "middle" }, 10.5);
      }
      matrix(c, mid - 8, "w2");
      const hidden = words(size.hidden[gated ? 1 : 0]);
      text(inner.x + 8, y + 70, wide ? `${words(size.dim)} → ${hidden} → ${words(size.dim)}` : `${hidden} wide`);
      link("swiglu", gated ? "SwiGLU" : "feed-forward layer", inner.x, y, inner.right, height);
    }
  };

  // Links lie over the picture. A part leads where the page's own contents lead, so that where there
  // is no book around the figure, there is no link that leads nowhere.
  const put = (svg, width, links) => {
    const frame = document.createElement("div");
    frame.className = "lt-parts";
    frame.style.maxWidth = `${width}px`;
    figure.stage.append(frame);
    frame.append(svg);
    for (const { chapter, label, isNew, ...at } of links) {
      const page = document.querySelector(`a[href$="${chapter}.html"], a[href*="${chapter}.html#"]`);
      if (!page) continue;
      const a = document.createElement("a");
      a.href = page.href.replace(/#.*/, "");
      a.title = `Chapter: ${chapter}`;
      a.setAttribute("aria-label", `${label}: its chapter`);
      if (!isNew) {  // the same chapters again: for the mouse
        a.tabIndex = -1;
        a.setAttribute("aria-hidden", "true");
      }
      const share = { left: at.x / width, top: at.y / HEIGHT, width: at.width / width, height: at.height / HEIGHT };
      for (const [side, part] of Object.entries(share)) a.style[side] = `${100 * part}%`;
      frame.append(a);
    }
  };

  return ({ size: name, ...on }) => {
    const size = sizes[name];
    drawn = room();
    const at = CHANGES.reduce((n, one) => 2 * n + on[one], 0);
    const [title, params, weights, cache] = size.settings[at];
    const [, params_before, weights_before, cache_before] = size.settings[0];
    const svg = figure.svg(drawn, HEIGHT);
    const width = (drawn - GAP - 1) / 2;
    const links = [];
    const isDesign = at === 0 || at === 31;
    column(svg, 1, width, false, on, size, "GPT-2", links);
    column(svg, 1 + width + GAP, width, true, on, size, isDesign ? (at ? "Llama 2" : "GPT-2") : title, links);
    put(svg, drawn, links);
    const made = CHANGES.filter((one) => on[one]).map((one) => labels[one]);
    return {
      name: title, changed: made.length ? made : "none", layers: size.layers, heads: size.heads,
      kv_heads: on.groups ? size.kv_heads : size.heads, hidden: size.hidden[on.feed_forward ? 1 : 0],
      params, weights, cache, params_before, weights_before, cache_before,
    };
  };
};
