// A llama2.c file: the header is parsed here, and everything else follows from its numbers.
const setup = (figure) => {
  const shown = 4;  // numbers of a part's beginning
  const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const spaced = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const grouped = (number) => number.toLocaleString("en-US");
  const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const names = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len"];

  // The fields of the header: their bytes, values and names.
  const headerOf = (hex) => {
    const bytes = bytesOf(hex);
    const view = viewOf(bytes);
    const magic = String.fromCharCode(...bytes.slice(0, 4));
    const version = magic === "24ka" ? view.getInt32(4, true) : 0;
    const fields = [];
    let at = 0;
    const take = (label, size, value) => {
      fields.push({ hex: spaced(bytes.slice(at, at + size)), value, label });
      at += size;
      return value;
    };
    if (version) {
      take("magic", 4, magic);
      take("version", 4, version);
    }
    const [dim, hidden, layers, heads, kvHeads, vocab, context] = names.map((name) =>
      take(name, 4, view.getInt32(at, true)));
    const tied = version ? take("tied head", 1, view.getUint8(at)) === 1 : vocab > 0;
    const group = version === 2 ? take("group size", 4, view.getInt32(at, true)) : 0;
    return { fields, version, dim, hidden, layers, heads, kvHeads, vocab: Math.abs(vocab), context, tied, group };
  };

  // Name, shape and number of each kind of tensor, in the file's order.
  const kindsOf = (header) => {
    const { version, dim, hidden, layers, heads, kvHeads, vocab, context, tied } = header;
    const width = dim / heads;
    const all = [
      ["tok_embeddings", [vocab, dim], 1],
      ["attention_norm", [dim], layers],
      ["wq", [dim, dim], layers],
      ["wk", [kvHeads * width, dim], layers],
      ["wv", [kvHeads * width, dim], layers],
      ["wo", [dim, dim], layers],
      ["ffn_norm", [dim], layers],
      ["w1", [hidden, dim], layers],
      ["w2", [dim, hidden], layers],
      ["w3", [hidden, dim], layers],
      ["norm", [dim], 1],
      ...(version ? [] : [["rope.cos", [context, width / 2], 1], ["rope.sin", [context, width / 2], 1]]),
      ...(tied ? [] : [["output", [vocab, dim], 1]]),
    ];
    if (!version) return all;
    return [...all.filter((kind) => kind[1].length === 1), ...all.filter((kind) => kind[1].length === 2)];
  };

  const isInt8 = ({ version }, shape) => version === 2 && shape.length === 2;
  const product = (shape) => shape.reduce((total, size) => total * size, 1);
  const storedBytes = (header, shape) =>
    isInt8(header, shape) ? product(shape) + (4 * product(shape)) / header.group : 4 * product(shape);

  const firstFields = (header, shape, [start, scale]) => {
    const bytes = bytesOf(start);
    const view = viewOf(bytes);
    const count = isInt8(header, shape) ? shown - 1 : shown;
    const fields = Array.from({ length: count }, (_, i) =>
      isInt8(header, shape)
        ? { hex: spaced(bytes.slice(i, i + 1)), value: view.getInt8(i), label: "int8" }
        : { hex: spaced(bytes.slice(4 * i, 4 * i + 4)), value: view.getFloat32(4 * i, true), label: "float32" });
    if (isInt8(header, shape)) {
      const last = bytesOf(scale);
      fields.push({ hex: spaced(last), value: viewOf(last).getFloat32(0, true), label: "scale" });
    }
    return fields;
  };

  const drawStrip = (svg, header, kinds, length, { first, last }) => {
    const [left, width, top, height] = [10, 424, 28, 34];
    const x = (byte) => left + (byte / length) * width;
    let start = header.version ? 256 : 28;
    kinds.forEach(([kind, shape, count], i) => {
      const size = count * storedBytes(header, shape);
      const wide = x(start + size) - x(start);
      draw(svg, "rect", { x: x(start), y: top, width: wide, height, fill: color(i), opacity: 0.35 });
      const short = kind.replace("tok_embeddings", "emb.").replace("output", "out.");
      if (wide > 15) {
        const y = top + (wide > 24 ? 22 : i % 2 ? 15 : 30);  // narrow neighbours on two lines
        draw(svg, "text", { x: x(start + size / 2), y, "text-anchor": "middle", class: "lt-part" }, short);
      }
      start += size;
    });
    const wide = Math.max(3, x(last + 1) - x(first));
    const from = Math.min(x(first), left + width - wide);
    draw(svg, "rect", { x: from, y: top - 4, width: wide, height: height + 8, fill: "none", stroke: "var(--lt-ink)", "stroke-width": 2 });
    draw(svg, "path", { d: `M${from + wide / 2} ${top + height + 7}l-6 9h12z`, fill: "var(--lt-ink)" });
    draw(svg, "text", { x: left, y: top + height + 26 }, "byte 0");
    draw(svg, "text", { x: left + width, y: top + height + 26, "text-anchor": "end" }, grouped(length - 1));
  };

  const drawFields = (svg, fields) => {
    const [left, top, width, height] = [10, 112, 107, 60];
    fields.forEach(({ hex, value, label }, i) => {
      const x = left + (i % shown) * width;
      const y = top + Math.floor(i / shown) * height;
      const middle = { x: x + width / 2 - 3, "text-anchor": "middle" };
      draw(svg, "rect", { x, y, width: width - 6, height: height - 8, rx: 4, fill: "none", class: "lt-axis" });
      draw(svg, "text", { ...middle, y: y + 15, style: "font-family: monospace !important" }, hex);
      draw(svg, "text", { ...middle, y: y + 31, style: "font-weight: 600" }, textOf(value));
      draw(svg, "text", { ...middle, y: y + 46 }, label);
    });
  };

  return ({ file, part, layer }) => {
    const { length, header: hex, starts } = figure.data[file];
    const header = headerOf(hex);
    const kinds = kindsOf(header);
    figure.limit("part", kinds.length);
    const chosen = Math.min(part, kinds.length);
    const place = { name: "the header", first: 0, size: header.version ? 256 : 28, shape: [], index: 0 };
    let [start, index] = [place.size, 0];
    kinds.slice(0, chosen).forEach(([kind, shape, count]) => {
      const of = Math.min(layer, count - 1);
      const size = storedBytes(header, shape);
      const name = count > 1 ? `${kind} of layer ${of}` : kind;
      Object.assign(place, { name, first: start + of * size, size, shape, index: index + of });
      start += count * size;
      index += count;
    });
    const fields = chosen ? firstFields(header, place.shape, starts[place.index]) : header.fields;
    const last = place.first + place.size - 1;
    const svg = figure.svg(444, 112 + 60 * Math.ceil(fields.length / shown));
    const title = `${place.name}: bytes ${grouped(place.first)} to ${grouped(last)}`;
    draw(svg, "text", { x: 10, y: 15, style: "font-weight: 600" }, title);
    drawStrip(svg, header, kinds, length, { first: place.first, last });
    drawFields(svg, fields);
    return {
      name: place.name,
      first: grouped(place.first),
      last: grouped(last),
      whole: grouped(length),
      size: place.size,
      share: (100 * place.size) / length,
      shape: chosen ? place.shape.join(" × ") : String(fields.length),
      hexes: fields.map((field) => field.hex),
      values: fields.map((field) => field.value),
      labels: fields.map((field) => field.label),
    };
  };
};
