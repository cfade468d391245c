// A line of JSON in, {model?, tokenizer?, do, ...}; a line out, {value} or {error}. See conftest.py.
const fs = require("fs");
const path = require("path");
const { Llama, Tokenizer } = require(path.join(process.argv[2], "llama.js"));
const { bugs } = require(path.join(process.argv[2], "bugs.js"));
const { quantized } = require(path.join(process.argv[2], "quantization.js"));
const sampling = require(path.join(process.argv[2], "sampling.js"));
const { encodeDialog } = require(path.join(process.argv[2], "dialog.js"));
const { fileOf, writer } = require(path.join(process.argv[2], "worker.js"));

const bytes = (name) => {
  const file = fs.readFileSync(name);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
};
// Typed arrays as lists.
const plain = (value) => JSON.parse(JSON.stringify(value, (_, one) => (ArrayBuffer.isView(one) ? Array.from(one) : one)));
const kept = {};
const open = (kind, path) => (kept[path] ??= kind.read(bytes(path)));

const actions = {
  config: ({ model }) => open(Llama, model).config,
  uniforms: ({ ids, seed, count }) => {
    const numbers = sampling.uniforms(sampling.rowSeed(seed, ids));
    return Array.from({ length: count }, () => numbers.next().value);
  },
  probabilities: ({ logits, temperature, topK, topP, minP }) =>
    Array.from(sampling.nextProbabilities(Float32Array.from(logits), temperature, topK, topP, minP)),
  bugs: () => bugs.names,
  // With a bug the model and the prompt are broken; ids come after the prompt. Or with beside, the name of
  // a bug, the right model that stands beside it.
  logits: ({ model, ids, bug, beside, prompt = [] }) => {
    const whole = open(Llama, model);
    const llama = bug ? bugs.broken(whole, bug) : bugs.rightOne(whole, beside);
    llama.reset();
    return [...bugs.brokenPrompt(prompt, bug), ...ids].map((id) => Array.from(llama.step(id)));
  },
  // The matrices of a broken model, or of the right one beside it, by name: float32 of one layer.
  matrices: ({ model, bug, right, layer }) => {
    const whole = open(Llama, model);
    const { weights } = right ? bugs.rightOne(whole, bug) : bugs.broken(whole, bug);
    const names = ["wq", "wk", "wv", "wo", "w1", "w2", "w3"];
    const blocks = names.map((name) => [name, weights[name][layer]]);
    return plain({ ...Object.fromEntries(blocks), tok_embeddings: weights.tok_embeddings[0] });
  },
  exhibit: ({ model, bug, ids, options }) => bugs.exhibit(open(Llama, model), bug, ids, options),
  rounded: ({ model, quantize }) => plain(quantized(open(Llama, model), quantize).weights),
  generate: async ({ model, ids, options }) => {
    const found = [];
    for await (const id of open(Llama, model).generate(ids, options)) found.push(id);
    return found;
  },
  encode: ({ tokenizer, texts, bos }) => texts.map((text) => open(Tokenizer, tokenizer).encode(text, { bos })),
  dialog: ({ tokenizer, dialog }) => encodeDialog(dialog, open(Tokenizer, tokenizer)),
  decode: ({ tokenizer, ids }) => open(Tokenizer, tokenizer).decode(ids),
  feed: ({ tokenizer, ids }) => {
    const decoder = open(Tokenizer, tokenizer).streamDecoder();
    return [...ids.map((id) => decoder.feed(id)), decoder.flush()];
  },
  unpack: async ({ path, to, old = false }) => {
    const { DecompressionStream } = globalThis;
    if (old) delete globalThis.DecompressionStream;
    try {
      fs.writeFileSync(to, Buffer.from(await fileOf(JSON.parse(fs.readFileSync(path)).model)));
    } finally {
      globalThis.DecompressionStream = DecompressionStream;
    }
  },
  // A worker of its own: what it posts to these requests, until all are answered.
  work: ({ requests, stop }) => new Promise((resolve) => {
    const [posted, tokens] = [[], {}];
    let answers = 0;
    const receive = writer((message) => {
      posted.push(message);
      const { id } = message;
      if (message.token && (tokens[id] = (tokens[id] ?? 0) + 1) === stop[id]) receive({ do: "stop", run: id });
      if ("token" in message || "seen" in message) return;
      if (++answers === requests.length) resolve(plain(posted));
    });
    for (const { path, ...request } of requests) {
      receive(path ? { ...request, asset: JSON.parse(fs.readFileSync(path)) } : request);
    }
    if (stop.now) receive({ do: "stop", run: stop.now });
  }),
  read: ({ kind, path }) => {
    const began = performance.now();
    try {
      ({ Llama, Tokenizer })[kind].read(bytes(path));
      return { ms: performance.now() - began };
    } catch (error) {
      return { ms: performance.now() - began, name: error.constructor.name, message: error.message };
    }
  },
};

require("readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const question = JSON.parse(line);
  try {
    console.log(JSON.stringify({ value: await actions[question.do](question) }));
  } catch (error) {
    console.log(JSON.stringify({ error: `${error.constructor.name}: ${error.message}` }));
  }
});
