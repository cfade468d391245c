// A Llama in this page. A figure with llama="tales" (kit/live.py) has this at hand:
//
//   if (!llamaInPage.here) …                          no book around the figure: a notebook, say
//   const llama = await llamaInPage.open("tales");    loads the engine and the weights, once a page
//   llama.config                                      { dim, n_layers, …, max_seq_len, vocab_size }
//   await llama.encode(text, { bos, eos })            { ids, pieces }; of a dialog, too
//   await llama.decode(ids)                           text
//   const written = await llama.write(prompt, options)
//   await llama.read(prompt, options)                 only looks: { ids }; onSeen tells the rest
//   await llama.exhibit(prompt, { bug, … })           right beside broken: see exhibit in bugs.js; with
//                                                     rightTexts and brokenTexts, what each token adds
//   llama.stop()                                      ends what this page has asked of the model
//
// A prompt is a text (BOS comes before it), ids, or a dialog for tales-chat,
// [{ role: "user", content: "…" }]. Runs wait for each other, in order. Options, all of them optional:
//
//   temperature (0.6; 0: the likeliest), topK, topP (0.9), minP, repetitionPenalty, seed,
//   maxNewTokens (at most; what fits), stopIds (BOS and EOS)
//   bug: "name"         a silent bug of browser/bugs.js in the model
//   signal              an AbortSignal: the run ends at once, and what it has written stays
//   onToken(token)      { id, piece, text, position }: text is what to append; without an id, the end
//                       of a character that was never completed
//   look                true, or which of { candidates: 10, attention, lens, logits, flow }: at each
//                       position, those of the prompt too, tells
//   onSeen(seen)        { position, id, piece, candidates: [{ id, piece, before, after }] (what may
//                       come next: the model's probability, and after temperature, top-k and top-p),
//                       attention: [layer][head] → weights of positions 0 to this one,
//                       lens: [{ id, piece, probability }] (each layer's best guess at what is next),
//                       logits, flow: { stream, normed, added, hidden, guesses } (the residual
//                       stream at the start and after each addition, what the norms made of it, what
//                       was added, the gated activations; three guesses from each state of the stream)
//                       }
//
// written is { promptIds, ids, text, seconds, tokensPerSecond, ended: "stop id", "length", "stopped" }.
// What goes wrong rejects with an Error whose message can be shown.
const llamaInPage = (globalThis.llamaInPage ??= (() => {
  const root = document.documentElement.dataset.content_root;  // Sphinx tells each page of the book
  const here = root !== undefined && typeof Worker === "function";
  const [loading, opening, waiting] = [{}, {}, new Map()];
  let [worker, count] = [null, 0];

  const load = (name) => (loading[name] ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(`${root}_static/llama/${name}.js`, document.baseURI);
    script.onload = () => resolve(globalThis.llamaAssets[name]);
    script.onerror = () => {
      delete loading[name];  // the next click tries again
      script.remove();
      reject(new Error(`The file _static/llama/${name}.js could not be loaded. Is there a connection? Then try again.`));
    };
    document.head.append(script);
  }));

  const receive = ({ data: { id, value, error, token, seen } }) => {
    const asked = waiting.get(id);
    if (token) return asked.onToken?.(token);
    if (seen) return asked.onSeen?.(seen);
    waiting.delete(id);
    return error === undefined ? asked.resolve(value) : asked.reject(new Error(error));
  };

  const startWorker = (source) => {
    if (worker) return;
    const boot = "const receive = writer((message) => postMessage(message)); onmessage = ({ data }) => receive(data);";
    worker = new Worker(URL.createObjectURL(new Blob([source, boot], { type: "text/javascript" })));
    worker.onmessage = receive;
    worker.onerror = (event) => {
      for (const { reject } of waiting.values()) reject(new Error(`The engine failed: ${event.message}`));
      waiting.clear();
    };
  };

  const ask = (request, { signal, onToken, onSeen } = {}) => new Promise((resolve, reject) => {
    const id = ++count;
    const stop = () => worker.postMessage({ do: "stop", run: id });
    waiting.set(id, { resolve, reject, onToken, onSeen, name: request.name, stop });
    worker.postMessage({ id, ...request });
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });

  const client = (name, { config }) => {
    const run = (action) => (prompt, { signal, onToken, onSeen, ...options } = {}) =>
      ask({ do: action, name, prompt, options }, { signal, onToken, onSeen });
    return {
      name,
      config,
      encode: (text, options) => ask({ do: "encode", name, text, ...options }),
      decode: (ids) => ask({ do: "decode", name, ids }),
      write: run("write"),
      read: run("read"),
      exhibit: run("exhibit"),
      stop: () => waiting.forEach((asked) => asked.name === name && asked.stop()),
    };
  };

  const open = (name) => (opening[name] ??= (async () => {
    try {
      const [source, asset] = await Promise.all([load("engine"), load(name)]);
      startWorker(source);
      return client(name, await ask({ do: "open", name, asset }));
    } catch (error) {
      delete opening[name];
      throw error;
    }
  })());

  return { here, open };
})());

// What such a figure is built of: a new element, or button, as the last child of parent.
const element = (parent, tag, name, text = "") => {
  const one = document.createElement(tag);
  if (name) one.className = name;
  one.textContent = text;
  return parent.appendChild(one);
};
const button = (parent, name, words, act) => {
  const one = element(parent, "button", name, words);
  one.type = "button";
  one.addEventListener("click", act);
  return one;
};
