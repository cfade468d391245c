"use strict";
/* Llama 2 in plain JavaScript: what numpy_llama/engine.py and layers.py do, one token at a time.

   It runs in a page, in a worker and in Node, and needs nothing but sampling.js and tokenizer.js:

     const { Llama, Tokenizer } = require("./llama.js");
     const model = Llama.read(buffer);                  // an ArrayBuffer: a llama2.c file, v0, v1 or v2
     const logits = model.step(id);                     // of the next token: Float32Array, (V)
     for await (const id of model.generate(ids, { temperature: 0.6, seed: 1 })) …

   Matrices are (rows, columns) in one Float32Array, as the file has them. JavaScript computes in
   float64, and only the logits are float32. What a bug would change is a method of its own, such as
   rmsNorm, rotate, keyHead or gated: bugs.js changes them, one at a time. Who wants to see inside sets
   look(layer, head, weights) and lookAfter(layer). */
{
  const inNode = typeof require === "function";
  const { draw, nextProbabilities, penalized, rowSeed, uniforms } = inNode ? require("./sampling.js") : globalThis;
  const { Tokenizer } = inNode ? require("./tokenizer.js") : globalThis;

  const SIZES = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len"];
  const MAGIC = 0x616b3432; // "ak42"
  const LARGEST = 2 ** 24;

  /** The header of a llama2.c file: { version, config, groupSize, start }. */
  const readHeader = (buffer) => {
    const length = buffer.byteLength;
    if (length === 0) throw new Error("the model is empty (0 bytes)");
    const view = new DataView(buffer);
    const hasMagic = length >= 8 && view.getUint32(0, true) === MAGIC;
    const version = hasMagic ? view.getInt32(4, true) : 0;
    if (hasMagic && version !== 1 && version !== 2) {
      throw new Error(`a llama2.c file of version ${version}: only versions 0, 1 and 2 are known`);
    }
    const start = version === 0 ? 28 : 256;
    if (length < start) {
      throw new Error(`${length} bytes where the header alone takes ${start}: truncated, or no llama2.c file`);
    }
    const config = { norm_eps: 1e-5, rope_theta: 10000 };
    SIZES.forEach((name, i) => (config[name] = view.getInt32((version === 0 ? 0 : 8) + 4 * i, true)));
    const tied = version === 0 ? Number(config.vocab_size > 0) : view.getUint8(36);
    config.vocab_size = version === 0 ? Math.abs(config.vocab_size) : config.vocab_size;
    for (const name of SIZES) {
      if (config[name] < 1 || config[name] > LARGEST) {
        throw new Error(`no llama2.c file, or a damaged header: ${name}=${config[name]} must be 1 to ${LARGEST}`);
      }
    }
    const { dim, n_heads, n_kv_heads } = config;
    if (dim % n_heads || n_heads % n_kv_heads || (dim / n_heads) % 2) {
      const sizes = `dim=${dim}, n_heads=${n_heads}, n_kv_heads=${n_kv_heads}`;
      throw new Error(`${sizes}: each must be divisible by the next, and the width of a head even`);
    }
    if (tied > 1) throw new Error(`a damaged header: the flag for a tied head is ${tied}, must be 0 or 1`);
    const groupSize = version === 2 ? view.getInt32(37, true) : 0;
    if (version === 2 && !(groupSize > 0 && dim % groupSize === 0 && config.hidden_dim % groupSize === 0)) {
      throw new Error(`group_size=${groupSize}: must divide rows of ${dim} and ${config.hidden_dim} weights`);
    }
    config.head_dim = dim / n_heads;
    const table = config.max_seq_len * config.head_dim; // numbers of RoPE's cosines and sines
    if (table > Math.max(2 ** 22, length)) {
      throw new Error(`max_seq_len=${config.max_seq_len}: RoPE's tables would be larger than the model itself`);
    }
    config.tie_embeddings = tied === 1;
    return { version, config, groupSize, start };
  };

  /** Name, shape and number of each kind of tensor, in the file's order. */
  const kindsOf = ({ version, config: c }) => {
    const [D, F, V, KV] = [c.dim, c.hidden_dim, c.vocab_size, c.n_kv_heads * c.head_dim];
    const [table, L] = [[c.max_seq_len, c.head_dim / 2], c.n_layers];
    const kinds = [
      ["tok_embeddings", [V, D], 1],
      ["attention_norm", [D], L],
      ...[["wq", [D, D], L], ["wk", [KV, D], L], ["wv", [KV, D], L], ["wo", [D, D], L]],
      ["ffn_norm", [D], L],
      ...[["w1", [F, D], L], ["w2", [D, F], L], ["w3", [F, D], L]],
      ["norm", [D], 1],
      ...(version === 0 ? [["cos", table, 1], ["sin", table, 1]] : []), // a relic that nobody reads
      ...(c.tie_embeddings ? [] : [["output", [V, D], 1]]),
    ];
    return version === 0 ? kinds : kinds.sort((a, b) => a[1].length - b[1].length); // the norms first
  };

  /** Float32Arrays by name, one for each layer: views of the file, or of int8 matrices a copy. */
  const readTensors = (buffer, header) => {
    const kinds = kindsOf(header).map(([name, shape, count]) => {
      const numbers = shape.reduce((product, size) => product * size);
      const quantized = header.version === 2 && shape.length === 2;
      const bytes = quantized ? numbers + 4 * (numbers / header.groupSize) : 4 * numbers;
      return { name, count, numbers, quantized, bytes };
    });
    const expected = kinds.reduce((sum, { count, bytes }) => sum + count * bytes, header.start);
    if (buffer.byteLength !== expected) {
      const what = buffer.byteLength < expected ? "truncated" : "too long";
      throw new Error(`the file is ${what}: ${buffer.byteLength} bytes, its header says ${expected}`);
    }
    const weights = {};
    let at = header.start;
    for (const { name, count, numbers, quantized, bytes } of kinds) {
      weights[name] = Array.from({ length: count }, () => {
        const here = at;
        at += bytes;
        if (quantized) return dequantize(buffer, here, numbers, header.groupSize);
        // A view, where the file's float32 lie as the machine wants them.
        return here % 4 ? new Float32Array(buffer.slice(here, here + bytes)) : new Float32Array(buffer, here, numbers);
      });
    }
    return weights;
  };

  /** Q8_0: each group of int8 times its float32 scale; see quantization.py. */
  const dequantize = (buffer, at, numbers, groupSize) => {
    const values = new Int8Array(buffer, at, numbers);
    const scales = new Float32Array(buffer.slice(at + numbers, at + numbers + 4 * (numbers / groupSize)));
    const weights = new Float32Array(numbers);
    for (let i = 0; i < numbers; i++) weights[i] = values[i] * scales[(i / groupSize) | 0];
    return weights;
  };

  /** out = w @ x, where w is (out.length, x.length): nearly all of the time goes by in here.
      Eight rows at a time, so that the processor adds up eight sums side by side. Only Float32Arrays
      come as w: an engine makes the loop half as fast where there are two kinds. */
  const matmul = (out, w, x) => {
    const n = x.length;
    let row = 0;
    for (; row + 8 <= out.length; row += 8) {
      let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let i = 0, at = row * n; i < n; i++, at++) {
        const value = x[i];
        a += w[at] * value;
        b += w[at + n] * value;
        c += w[at + 2 * n] * value;
        d += w[at + 3 * n] * value;
        e += w[at + 4 * n] * value;
        f += w[at + 5 * n] * value;
        g += w[at + 6 * n] * value;
        h += w[at + 7 * n] * value;
      }
      [out[row], out[row + 1], out[row + 2], out[row + 3]] = [a, b, c, d];
      [out[row + 4], out[row + 5], out[row + 6], out[row + 7]] = [e, f, g, h];
    }
    for (; row < out.length; row++) {
      let sum = 0;
      for (let i = 0, at = row * n; i < n; i++, at++) sum += w[at] * x[i];
      out[row] = sum;
    }
  };

  class Llama {
    /** A model from the bytes of a llama2.c file. Throws an Error that says what is wrong with it. */
    static read(buffer) {
      const header = readHeader(buffer);
      return new this(header.config, readTensors(buffer, header));
    }

    constructor(config, weights) {
      const { dim, hidden_dim, n_layers, n_kv_heads, head_dim, max_seq_len, rope_theta } = config;
      this.config = config;
      this.weights = weights;
      const kv = n_kv_heads * head_dim;
      const cache = () => Array.from({ length: n_layers }, () => new Float64Array(max_seq_len * kv));
      [this.keys, this.values] = [cache(), cache()]; // (S, K h) each: slot = position
      const buffer = (size) => new Float64Array(size);
      [this.x, this.normed, this.q, this.y, this.added] = [dim, dim, dim, dim, dim].map(buffer);
      [this.gate, this.up, this.scores] = [hidden_dim, hidden_dim, max_seq_len].map(buffer);
      // RoPE's cosines and sines, (S, h / 2).
      const half = head_dim / 2;
      const speeds = Array.from({ length: half }, (_, j) => rope_theta ** ((-2 * j) / head_dim));
      [this.cos, this.sin] = [new Float64Array(max_seq_len * half), new Float64Array(max_seq_len * half)];
      for (let i = 0; i < this.cos.length; i++) {
        const angle = Math.floor(i / half) * speeds[i % half];
        this.cos[i] = Math.cos(angle);
        this.sin[i] = Math.sin(angle);
      }
      this.length = 0;
    }

    /** Forgets all tokens. The old entries stay in the cache, but after the length. */
    reset() {
      this.length = 0;
    }

    /** Reads one more token: the logits of the next, a new Float32Array (V). */
    step(id) {
      this.advance(id);
      return this.head(this.x);
    }

    /** The last norm and the output matrix: logits from the residual stream. */
    head(x) {
      const { config, weights } = this;
      this.rmsNorm(this.normed, x, weights.norm[0]);
      const logits = new Float32Array(config.vocab_size);
      matmul(logits, (weights.output ?? weights.tok_embeddings)[0], this.normed);
      return logits;
    }

    /** The layers for one more token, without the head: x is then the residual stream after them. */
    advance(id) {
      const { n_layers, vocab_size, max_seq_len } = this.config;
      const { attention_norm, ffn_norm } = this.weights;
      if (!Number.isInteger(id) || id < 0 || id >= vocab_size) {
        throw new Error(`id ${id}: the model's ids are 0 to ${vocab_size - 1}; was it made by another tokenizer?`);
      }
      if (this.length >= max_seq_len) {
        throw new Error(`position ${this.length} does not fit into the context of ${max_seq_len}: reset(), or a shorter text`);
      }
      const { x, normed, added } = this;
      this.embed(id);
      for (let layer = 0; layer < n_layers; layer++) {
        this.rmsNorm(normed, x, attention_norm[layer]);
        this.attention(added, normed, layer, this.length);
        this.add(added);
        this.rmsNorm(normed, x, ffn_norm[layer]);
        this.feedForward(added, normed, layer);
        this.add(added);
        this.lookAfter?.(layer);
      }
      this.length++;
    }

    /** The residual stream begins as the token's row of the table. */
    embed(id) {
      const { dim } = this.config;
      this.x.set(this.weights.tok_embeddings[0].subarray(id * dim, (id + 1) * dim));
    }

    /** What a part has found is added to the residual stream. */
    add(added) {
      for (let i = 0; i < added.length; i++) this.x[i] += added[i];
    }

    /** out = x over its root mean square, then each feature by its weight. */
    rmsNorm(out, x, weight) {
      let sum = 0;
      for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
      const factor = 1 / Math.sqrt(sum / x.length + this.config.norm_eps);
      for (let i = 0; i < x.length; i++) out[i] = x[i] * factor * weight[i];
    }

    /** out = what the token at this position gathers from those up to its own. */
    attention(out, x, layer, position) {
      const { n_heads, n_kv_heads, head_dim: h } = this.config;
      const { wq, wk, wv, wo } = this.weights;
      const { q, y, scores } = this;
      const [keys, values, kv] = [this.keys[layer], this.values[layer], n_kv_heads * h];
      const at = this.slot(position) * kv;
      const k = keys.subarray(at, at + kv);
      matmul(q, wq[layer], x);
      matmul(k, wk[layer], x);
      matmul(values.subarray(at, at + kv), wv[layer], x);
      this.rotate(q, position);
      this.rotate(k, position);
      const weights = scores.subarray(0, position + 1);
      for (let head = 0; head < n_heads; head++) {
        const own = head * h;
        const shared = this.keyHead(head) * h;
        for (let t = 0, at = shared; t <= position; t++, at += kv) {
          let score = 0;
          for (let i = 0; i < h; i++) score += q[own + i] * keys[at + i];
          weights[t] = score;
        }
        softmax(weights, this.scale());
        for (let i = 0; i < h; i += 2) { // two sums side by side
          let [a, b] = [0, 0];
          for (let t = 0, at = shared + i; t <= position; t++, at += kv) {
            a += weights[t] * values[at];
            b += weights[t] * values[at + 1];
          }
          y[own + i] = a;
          y[own + i + 1] = b;
        }
        this.look?.(layer, head, weights);
      }
      matmul(out, wo[layer], y);
    }

    /** Where the cache keeps the key and the value of a position. */
    slot(position) {
      return position;
    }

    /** What scores are multiplied by before the softmax. */
    scale() {
      return 1 / Math.sqrt(this.config.head_dim);
    }

    /** RoPE: each pair of neighbouring features of each head turned by its own angle, in place. */
    rotate(x, position) {
      const half = this.config.head_dim / 2;
      const at = position * half;
      for (let i = 0; i < x.length; i += 2) {
        const cos = this.cos[at + ((i / 2) % half)];
        const sin = this.sin[at + ((i / 2) % half)];
        const a = x[i];
        const b = x[i + 1];
        x[i] = a * cos - b * sin;
        x[i + 1] = a * sin + b * cos;
      }
    }

    /** The key head that a query head reads: neighbours share one. */
    keyHead(head) {
      return Math.floor((head * this.config.n_kv_heads) / this.config.n_heads);
    }

    /** out = SwiGLU of x: one way up gates the other. */
    feedForward(out, x, layer) {
      const { gate, up } = this;
      const { w1, w2, w3 } = this.weights;
      matmul(gate, w1[layer], x);
      matmul(up, w3[layer], x);
      for (let i = 0; i < gate.length; i++) up[i] = this.gated(gate[i], up[i]);
      matmul(out, w2[layer], up);
    }

    /** One unit of SwiGLU: SiLU(a) b. */
    gated(a, b) {
      return (a / (1 + Math.exp(-a))) * b;
    }

    /** Continues a prompt: yields each new id as soon as it is there, until a stop id or the end.

        Options: maxNewTokens (what the context leaves), temperature (0.6; 0 is the likeliest),
        topK (null: all), topP (0.9; 1: all), minP (0: all), repetitionPenalty (1: none), seed (null:
        another text each time), stopIds ([]), goOn (an async function, asked before each token is
        read; false ends the text).
        The same seed draws the same tokens as in Python. */
    async *generate(ids, options = {}) {
      const { temperature = 0.6, topK = null, topP = 0.9, minP = 0 } = options;
      const { repetitionPenalty = 1, seed = null, stopIds = [], goOn } = options;
      const context = this.config.max_seq_len;
      const { maxNewTokens = context - ids.length } = options;
      if (!ids.length) throw new Error("the prompt is empty: give at least one id, such as BOS");
      if (!Number.isInteger(maxNewTokens) || maxNewTokens < 0 || ids.length + maxNewTokens > context) {
        throw new Error(`${ids.length} ids and maxNewTokens=${maxNewTokens}: must fit into the context of ${context}`);
      }
      if (!(temperature >= 0 && temperature < Infinity)) {
        throw new Error(`temperature=${temperature}: must be 0 (the likeliest token) or above`);
      }
      const [numbers, all] = [uniforms(rowSeed(seed, ids)), [...ids]];
      this.reset();
      for (const id of ids.slice(0, -1)) {
        if (goOn && !(await goOn())) return;
        this.advance(id); // prefill: only the last needs the head
      }
      let id = ids.at(-1);
      for (let count = 0; count < maxNewTokens; count++) {
        if (goOn && !(await goOn())) return;
        const logits = this.step(id);
        const best = logits[argmax(logits)];
        if (!Number.isFinite(best)) throw new Error(`the largest logit is ${best}: the weights are damaged`);
        const scores = repetitionPenalty === 1 ? logits : penalized(logits, all, repetitionPenalty);
        if (temperature > 0) id = draw(nextProbabilities(scores, temperature, topK, topP, minP), numbers.next().value);
        else id = argmax(scores);
        if (stopIds.includes(id)) return;
        all.push(id);
        yield id;
      }
    }
  }

  /** Exponentials of numbers times a scale, made to sum to 1, in place. */
  const softmax = (x, scale) => {
    let [largest, sum] = [-Infinity, 0];
    for (let i = 0; i < x.length; i++) largest = Math.max(largest, (x[i] *= scale));
    for (let i = 0; i < x.length; i++) sum += x[i] = Math.exp(x[i] - largest);
    for (let i = 0; i < x.length; i++) x[i] /= sum;
  };

  /** The place of the largest; of NaN, if there is one. */
  const argmax = (x) => {
    let best = 0;
    for (let i = 0; i < x.length; i++) {
      if (Number.isNaN(x[i])) return i;
      if (x[i] > x[best]) best = i;
    }
    return best;
  };

  Object.assign(typeof module === "object" ? module.exports : globalThis, { Llama, Tokenizer });
}
