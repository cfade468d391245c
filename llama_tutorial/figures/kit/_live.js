// What every live figure shares. Python puts this text, one script and a call of start() into one
// function, so the names below are free to use in a script and invisible to the page.
//
// A script defines setup(figure), called once, which returns update(values), called at every move.
// update draws, and returns the numbers that the readout shows and that the tests compare with
// Python's.

// The text of a value: the twin of number_text in numbers.py.
const textOf = (value) => {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "undefined" : value > 0 ? "∞" : "−∞";
  if (Math.abs(value) < 1e-9) return "0";
  const short = Number.isInteger(value) ? value : Number(value.toPrecision(3));
  return String(short).replaceAll("-", "−");
};

const fill = (template, values) =>
  template.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? textOf(values[name]) : whole));

// The colour of series i, the same as matplotlib's in this book.
const color = (i) => `var(--lt-c${i % 5})`;

// A new SVG element as the last child of parent.
const draw = (parent, tag, attributes = {}, text = "") => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return parent.appendChild(element);
};

// About count round numbers from low to high.
const ticks = ([low, high], count = 5) => {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
};

// Axes inside box = [left, top, right, bottom] of the picture. Returns the two scales (from data to
// picture), line(points, i) and dot(point, i) for points in data units, label(point, text), and
// at(x, y): the point in data units at a place of the picture.
const axes = (svg, { x, y, box, xLabel = "", yLabel = "", xTicks, yTicks }) => {
  const [left, top, right, bottom] = box;
  const sx = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (right - left);
  const sy = (v) => bottom - ((v - y[0]) / (y[1] - y[0])) * (bottom - top);
  const rule = (x1, y1, x2, y2, kind) => draw(svg, "line", { x1, y1, x2, y2, class: kind });
  for (const v of xTicks ?? ticks(x)) {
    rule(sx(v), top, sx(v), bottom, "lt-grid");
    draw(svg, "text", { x: sx(v), y: bottom + 15, "text-anchor": "middle" }, textOf(v));
  }
  for (const v of yTicks ?? ticks(y)) {
    rule(left, sy(v), right, sy(v), "lt-grid");
    draw(svg, "text", { x: left - 6, y: sy(v) + 4, "text-anchor": "end" }, textOf(v));
  }
  rule(left, bottom, right, bottom, "lt-axis");
  rule(left, top, left, bottom, "lt-axis");
  draw(svg, "text", { x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle" }, xLabel);
  draw(svg, "text", { x: left, y: top - 8 }, yLabel);
  return {
    x: sx,
    y: sy,
    at: (px, py) => [
      x[0] + ((px - left) / (right - left)) * (x[1] - x[0]),
      y[0] + ((bottom - py) / (bottom - top)) * (y[1] - y[0]),
    ],
    line: (points, i = 0, more = {}) => {
      const d = points.map(([a, b], n) => `${n ? "L" : "M"}${sx(a).toFixed(1)} ${sy(b).toFixed(1)}`);
      return draw(svg, "path", { d: d.join(""), class: "lt-line", stroke: color(i), ...more });
    },
    dot: ([a, b], i = 0, more = {}) =>
      draw(svg, "circle", { cx: sx(a), cy: sy(b), r: 4, fill: color(i), ...more }),
    label: ([a, b], text, more = {}) => draw(svg, "text", { x: sx(a), y: sy(b), ...more }, text),
  };
};

const valueOf = (input) => {
  if (input.dataset.stops) return JSON.parse(input.dataset.stops)[input.value];
  if (input.type === "checkbox") return input.checked;
  return input.tagName === "SELECT" ? JSON.parse(input.value) : input.value;
};

// The position of the stop that is nearest to a number, or is the value itself.
const nearest = (stops, value) => {
  const far = (stop) => (stop === value ? -1 : Math.abs(stop - value));
  return stops.reduce((best, stop, i) => (far(stop) < far(stops[best]) ? i : best), 0);
};

// One figure of the page: its data, the place to draw, and its controls.
class Figure {
  constructor(root) {
    this.root = root;
    this.stage = root.querySelector(".lt-stage");
    this.readout = root.querySelector(".lt-readout");
    this.seen = root.offsetWidth > 0;
    this.inputs = [...root.querySelectorAll("[data-name]")];
    Object.assign(this, JSON.parse(root.querySelector("script[type='application/json']").textContent));
  }

  // An empty picture in place of the last one; scales with the page.
  svg(width, height) {
    this.stage.replaceChildren();
    const box = { viewBox: `0 0 ${width} ${height}`, role: "img", style: `max-width: ${width}px` };
    return draw(this.stage, "svg", box);
  }

  // Lets the slider called name move up to position last only.
  limit(name, last) {
    const input = this.inputs.find((one) => one.dataset.name === name);
    input.max = Math.max(0, Math.min(last, JSON.parse(input.dataset.stops).length - 1));
  }

  // Lets the reader drag a thing of the picture. move(x, y), for the pointer's place in the picture,
  // returns the values that controls take, {name: value}; sliders go to their nearest stop. Called at
  // every update, like all that draws.
  drag(handle, move) {
    const number = this.moves.push(move) - 1;
    handle.classList.add("lt-handle");
    // A finger on it does not scroll the page, even once the handle has been drawn anew.
    handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();  // no text is marked
      this.dragged = number;
      this.stage.setPointerCapture(event.pointerId);  // the handle itself is drawn anew at each move
      this.stage.classList.add("lt-dragging");
    });
  }

  listenToDrags() {
    this.stage.addEventListener("pointermove", (event) => {
      const move = this.moves[this.dragged];
      const picture = this.stage.querySelector("svg");
      if (!move || !picture) return;
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
      this.set(move(place.x, place.y));
    });
    this.stage.addEventListener("lostpointercapture", () => {
      this.dragged = undefined;
      this.stage.classList.remove("lt-dragging");
    });
  }

  // Puts controls at values as a reader would who moved them.
  set(values) {
    const position = (input) => (input.type === "checkbox" ? input.checked : input.value);
    const moved = this.inputs.filter((input) => {
      if (!(input.dataset.name in values)) return false;
      const [before, value] = [position(input), values[input.dataset.name]];
      if (input.dataset.stops) input.value = nearest(JSON.parse(input.dataset.stops), value);
      else if (input.type === "checkbox") input.checked = value;
      else input.value = input.tagName === "SELECT" ? JSON.stringify(value) : value;
      return position(input) !== before;
    });
    moved.at(-1)?.dispatchEvent(new Event("input"));
  }

  values() {
    return Object.fromEntries(this.inputs.map((input) => [input.dataset.name, valueOf(input)]));
  }

  // What the reader sees of each control's value, with its unit.
  texts() {
    return Object.fromEntries(this.inputs.map((input) => {
      const words = input.tagName === "SELECT" ? input.selectedOptions[0].text : textOf(valueOf(input));
      return [input.dataset.name, words + (input.dataset.unit ?? "")];
    }));
  }

  redraw() {
    this.moves = [];
    return this.update(this.values()) ?? {};
  }

  refresh() {
    const values = this.values();
    let numbers = this.redraw();
    if (JSON.stringify(values) !== JSON.stringify(this.values())) numbers = this.redraw();  // a limit moved a slider
    const texts = this.texts();
    for (const input of this.inputs) {
      if (input.type !== "range") continue;
      input.setAttribute("aria-valuetext", texts[input.dataset.name]);
      const box = input.closest(".lt-control");
      const shown = box.querySelector(".lt-value");
      shown.textContent = texts[input.dataset.name];
      shown.style.minWidth = `${shown.offsetWidth}px`;
      for (const button of box.querySelectorAll("button")) {
        const end = button.dataset.move > 0 ? input.max : input.min;
        button.setAttribute("aria-disabled", input.value === end);
      }
    }
    const picture = this.stage.querySelector("svg");
    if (picture) {
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", fill(this.alt, { ...texts, ...numbers }));
    }
    if (this.readout) {
      this.readout.textContent = fill(this.template, { ...texts, ...numbers });
      // It keeps the most room that it ever had, as the values do, so that nothing jumps.
      this.readout.style.minHeight = `${this.readout.offsetHeight}px`;
    }
    this.root.numbers = numbers;  // for the tests
  }

  start(setup) {
    this.update = setup(this);
    for (const input of this.inputs) {
      input.disabled = false;
      input.addEventListener("input", () => this.refresh());
      input.addEventListener("keydown", (event) => event.stopPropagation());  // JupyterLab's shortcuts
    }
    for (const button of this.root.querySelectorAll("button[data-move]")) {
      const input = button.closest(".lt-control").querySelector("input");
      button.disabled = false;
      button.addEventListener("click", () => {
        input.value = Number(input.value) + Number(button.dataset.move);
        this.refresh();
      });
    }
    this.listenToDrags();
    this.refresh();
    // What is folded has no size; once it is seen, it is drawn again.
    new ResizeObserver(() => {
      const seen = this.root.offsetWidth > 0;
      if (seen && !this.seen) this.refresh();
      this.seen = seen;
    }).observe(this.root);
  }
}

const start = (name, setup) => {
  const waiting = `figure.lt-figure[data-live="${name}"]:not([data-ready])`;
  for (const root of document.querySelectorAll(waiting)) {
    root.dataset.ready = "";
    new Figure(root).start(setup);
  }
};
