"use strict";
/* Writes on request: what a page asks of a worker, which computes while the page stays awake.

     const receive = writer(post);             // in a worker: writer(postMessage)
     receive({ id: 1, do: "open", name: "tales", asset });
     receive({ id: 2, do: "write", name: "tales", prompt: "Once", options: { seed: 0 } });
     receive({ do: "stop", run: 2 });

   Requests are answered one after another, each by { id, value } or { id, error }, an error's words;
   a stop comes before its turn. What happens meanwhile is posted as { id, token } and { id, seen }.
   figures/kit/_llama.js is the page's side and says what there is. One option more: with
   quantize: { bits, group } the matrices are rounded first; see quantization.js. */
{
  const inNode = typeof require === "function";
  const { Llama, Tokenizer } = inNode ? require("./llama.js") : globalThis;
  const { encodeDialog } = inNode ? require("./dialog.js") : globalThis;
  const { nextProbabilities, penalized } = inNode ? require("./sampling.js") : globalThis;
  const { bugs } = inNode ? require("./bugs.js") : globalThis;
  const { quantized } = inNode ? require("./quantization.js") : globalThis;

  /** The bytes that living.py has packed: zlib's, in base64. */
  const bytesOf = async (packed) => {
    if (typeof DecompressionStream !== "function") {
      throw new Error("This browser cannot unpack the weights: that takes one from 2023 or later.");
    }
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
  };

  /** A llama2.c file. Of float32 weights that end in 16 zeros, the asset has the other two bytes:
      all the lower ones, then all the upper ones, which are often alike and pack well. */
  const fileOf = async (parts) => {
    const [first, low, high] = await Promise.all(parts.map(bytesOf));
    if (!low) return first.buffer;
    const words = new Uint32Array(first.length / 4 + low.length);
    words.set(new Uint32Array(first.buffer)); // the header
    for (let i = 0, at = first.length / 4; i < low.length; i++, at++) words[at] = (high[i] << 24) | (low[i] << 16);
    return words.buffer;
  };

  const BREATH = 8; // ms: a stop is heard within half a frame

  /** Lets messages in: resolves once those that have come are received. */
  const breathe = (() => {
    if (globalThis.setImmediate) return () => new Promise((resolve) => setImmediate(resolve));
    const [{ port1, port2 }, waiting] = [new MessageChannel(), []];
    port1.onmessage = () => waiting.shift()();
    return () => new Promise((resolve) => waiting.push(resolve) && port2.postMessage(null));
  })();

  /** The places of the largest numbers, the largest first. */
  const largest = (x, count) => Array.from(x.keys()).sort((a, b) => x[b] - x[a] || a - b).slice(0, count);

  /** Makes a model keep what flows through it at a position. take() gives that and begins anew. */
  const record = (model) => {
    let flow;
    let paused = false;
    const begin = () => (flow = { stream: [], normed: [], added: [], hidden: [] });
    const keep = (name, x) => paused || flow[name].push(x.slice());
    const after = {
      embed: () => keep("stream", model.x),
      rmsNorm: (out) => keep("normed", out),
      add: (added) => {
        keep("added", added);
        keep("stream", model.x);
      },
      feedForward: () => keep("hidden", model.up),
    };
    for (const part of Object.keys(after)) {
      const plain = model[part];
      model[part] = (...given) => {
        plain.apply(model, given);
        after[part](...given);
      };
    }
    begin();
    return {
      take() {
        const taken = flow;
        begin();
        return taken;
      },
      aside(look) {
        paused = true;
        const found = look();
        paused = false;
        return found;
      },
      end: () => Object.keys(after).forEach((part) => delete model[part]),
    };
  };

  const writer = (post) => {
    const opened = new Map(); // by name: tokenizer, and the model without bugs and with each that was asked for
    const pending = new Set(); // what has come and is not answered yet
    const stopped = new Set();
    let last = Promise.resolve();

    const open = async ({ name, asset }) => {
      const model = Llama.read(await fileOf(asset.model));
      const tokenizer = Tokenizer.read((await bytesOf(asset.tokenizer)).buffer);
      opened.set(name, { tokenizer, models: new Map([["", model]]) });
      return { config: model.config };
    };

    const find = (name, { bug, quantize } = {}) => {
      if (!opened.has(name)) throw new Error(`no model ${JSON.stringify(name)} is open: open it first`);
      const opening = opened.get(name);
      const { tokenizer, models } = opening;
      if (quantize) {
        const how = JSON.stringify(quantize);
        if (opening.rounded?.how !== how) opening.rounded = { how, model: quantized(models.get(""), quantize) }; // the last only
        const { model } = opening.rounded;
        return { tokenizer, model: bug ? bugs.broken(model, bug) : model };
      }
      if (bug && !models.has(bug)) models.set(bug, bugs.broken(models.get(""), bug));
      return { tokenizer, model: models.get(bug || "") };
    };

    /** Of a text, with BOS, of a dialog, or of ids. */
    const idsOf = (prompt, tokenizer) => {
      if (typeof prompt === "string") return tokenizer.encode(prompt, { bos: true });
      return typeof prompt[0] === "object" ? encodeDialog(prompt, tokenizer) : Array.from(prompt);
    };

    /** Makes the model tell what it does at each position, until the function that is returned is called. */
    const watch = (id, model, tokenizer, ids, { look, temperature = 0.6, topK = null, topP = 0.9, minP = 0, repetitionPenalty = 1 }) => {
      if (!look) return () => {};
      const wanted = look === true ? { candidates: 10, attention: true, lens: true } : look;
      const named = (place, probabilities) => ({ id: place, piece: tokenizer.pieces[place], probability: probabilities[place] });
      const guess = (x, count) => {
        const logits = model.head(x);
        const probabilities = nextProbabilities(logits, 1);
        return largest(logits, count).map((place) => named(place, probabilities));
      };
      const recorder = wanted.flow ? record(model) : { aside: (look) => look(), end() {} };
      let [attention, lens] = [[], []];
      if (wanted.attention) model.look = (layer, head, weights) => ((attention[layer] ??= [])[head] = Float32Array.from(weights));
      model.lookAfter = (layer) => {
        const isLast = layer === model.config.n_layers - 1;
        if (wanted.lens) lens.push(recorder.aside(() => guess(model.x, 1))[0]);
        if (!isLast) return;
        const logits = model.head(model.x);
        const before = nextProbabilities(logits, 1);
        const position = model.length;
        const seen = { position, id: ids[position], piece: tokenizer.pieces[ids[position]] };
        if (wanted.candidates) {
          const scores = penalized(logits, ids.slice(0, position + 1), repetitionPenalty);
          const after = nextProbabilities(scores, temperature, topK, topP, minP);
          seen.candidates = largest(logits, wanted.candidates).map((place) => {
            const { probability, ...token } = named(place, before);
            return { ...token, before: probability, after: after[place] };
          });
        }
        if (wanted.attention) seen.attention = attention;
        if (wanted.lens) seen.lens = lens;
        if (wanted.logits) seen.logits = logits;
        if (wanted.flow) {
          const flow = recorder.take();
          const guesses = recorder.aside(() => flow.stream.map((x) => guess(x, 3)));
          seen.flow = { ...flow, guesses };
        }
        [attention, lens] = [[], []];
        post({ id, seen });
      };
      return () => {
        model.look = model.lookAfter = undefined;
        recorder.end();
      };
    };

    let breath = 0;
    const goOn = async (id) => {
      if (performance.now() - breath > BREATH) {
        await breathe();
        breath = performance.now();
      }
      return !stopped.has(id);
    };

    const write = async ({ id, name, prompt, options = {} }) => {
      const { tokenizer, model } = find(name, options);
      const ids = bugs.brokenPrompt(idsOf(prompt, tokenizer), options.bug);
      const context = model.config.max_seq_len;
      if (ids.length >= context) {
        throw new Error(`this beginning is ${ids.length} tokens long; the model holds ${context}, what it writes included: shorten it`);
      }
      const { maxNewTokens = context, stopIds = [tokenizer.bos_id, tokenizer.eos_id] } = options;
      const [all, decoder] = [[...ids], tokenizer.streamDecoder()];
      ids.forEach(decoder.feed); // so that a text goes on as its beginning has it
      const unwatch = watch(id, model, tokenizer, all, options);
      const began = performance.now();
      let text = "";
      const say = (more, token = {}) => {
        text += more;
        post({ id, token: { ...token, text: more } });
      };
      try {
        const given = { ...options, maxNewTokens: Math.min(maxNewTokens, context - ids.length), stopIds, goOn: () => goOn(id) };
        for await (const next of model.generate(ids, given)) {
          say(decoder.feed(next), { id: next, piece: tokenizer.pieces[next], position: all.push(next) - 1 });
        }
      } finally {
        unwatch();
      }
      const rest = decoder.flush();
      if (rest) say(rest);
      const seconds = (performance.now() - began) / 1000;
      const written = all.slice(ids.length);
      const isFull = written.length === Math.min(maxNewTokens, context - ids.length);
      return {
        promptIds: ids, ids: written, text, seconds, tokensPerSecond: all.length / seconds,
        ended: stopped.has(id) ? "stopped" : isFull ? "length" : "stop id",
      };
    };

    const read = async ({ id, name, prompt, options = {} }) => {
      const { tokenizer, model } = find(name, options);
      const ids = bugs.brokenPrompt(idsOf(prompt, tokenizer), options.bug);
      const unwatch = watch(id, model, tokenizer, ids, options);
      try {
        model.reset();
        for (const token of ids) {
          if (!(await goOn(id))) break;
          model.advance(token);
        }
      } finally {
        unwatch();
      }
      return { ids: ids.slice(0, model.length) };
    };

    /** Of a text, with BOS and EOS where they are asked for, or of a dialog. */
    const encode = ({ name, text, bos = false, eos = false }) => {
      const { tokenizer } = find(name);
      const isDialog = typeof text !== "string";
      const ids = isDialog ? encodeDialog(text, tokenizer) : [...tokenizer.encode(text, { bos }), ...(eos ? [tokenizer.eos_id] : [])];
      return { ids, pieces: ids.map((id) => tokenizer.pieces[id]) };
    };

    const decode = ({ name, ids }) => find(name).tokenizer.decode(ids);

    /** The text that each token adds after a prompt. */
    const textsOf = (tokenizer, prompt, ids) => {
      const decoder = tokenizer.streamDecoder();
      prompt.forEach(decoder.feed);
      const texts = ids.map(decoder.feed);
      const rest = decoder.flush();
      return ids.length ? [...texts.slice(0, -1), texts.at(-1) + rest] : [];
    };

    const exhibit = ({ name, prompt, options: { bug, ...options } }) => {
      const { tokenizer, model } = find(name);
      const ids = idsOf(prompt, tokenizer);
      const { count = 40, stopIds = [tokenizer.bos_id, tokenizer.eos_id] } = options;
      const room = model.config.max_seq_len - count - 1; // a bug may take a slot of the cache
      if (ids.length > room) {
        throw new Error(`this beginning is ${ids.length} tokens long; with ${count} more it must fit into ${room + count}: shorten it`);
      }
      const shown = bugs.exhibit(model, bug, ids, { ...options, count, stopIds });
      const [rightTexts, brokenTexts] = [shown.right, shown.broken].map((all) => textsOf(tokenizer, ids, all));
      return { ...shown, rightTexts, brokenTexts };
    };

    const actions = { open, write, read, exhibit, encode, decode };

    const answer = async (request) => {
      try {
        post({ id: request.id, value: await actions[request.do](request) });
      } catch (error) {
        post({ id: request.id, error: error.message });
      }
      pending.delete(request.id);
      stopped.delete(request.id);
    };

    return (request) => {
      if (request.do === "stop") {
        if (pending.has(request.run)) stopped.add(request.run);
        return;
      }
      pending.add(request.id);
      last = last.then(() => answer(request));
    };
  };

  Object.assign(typeof module === "object" ? module.exports : globalThis, { fileOf, writer });
}
