// A line of JSON in, {model?, tokenizer?, do, ...}; a line out, {value} or {error}. See conftest.py.
const fs = require("fs");
const { Llama, Tokenizer } = require(process.argv[2]);

const bytes = (path) => {
  const file = fs.readFileSync(path);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
};
const kept = {};
const open = (kind, path) => (kept[path] ??= kind.read(bytes(path)));

const actions = {
  config: ({ model }) => open(Llama, model).config,
  logits: ({ model, ids }) => {
    const llama = open(Llama, model);
    llama.reset();
    return ids.map((id) => Array.from(llama.step(id)));
  },
  generate: async ({ model, ids, options }) => {
    const found = [];
    for await (const id of open(Llama, model).generate(ids, options)) found.push(id);
    return found;
  },
  encode: ({ tokenizer, texts, bos }) => texts.map((text) => open(Tokenizer, tokenizer).encode(text, { bos })),
  decode: ({ tokenizer, ids }) => open(Tokenizer, tokenizer).decode(ids),
  feed: ({ tokenizer, ids }) => {
    const decoder = open(Tokenizer, tokenizer).streamDecoder();
    return [...ids.map((id) => decoder.feed(id)), decoder.flush()];
  },
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
