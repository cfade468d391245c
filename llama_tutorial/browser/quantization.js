"use strict";
/* A model after its matrices went through a few bits, as quantization/formats.py rounds to four.

     const { quantized } = require("./quantization.js");
     const coarse = quantized(model, { bits: 3, group: 32 });   // a new Llama; the old one is untouched

   All weights but the embedding and the norms are rounded, in groups of `group` neighbours of a row, or
   of "row" or "matrix". Each group's largest weight becomes -2^(bits - 1) steps, and the step is kept as
   a float16. Every operation is NumPy's in float32, so that the weights are, too. */
{
  const inNode = typeof require === "function";
  const { Llama } = inNode ? require("./llama.js") : globalThis;

  const KEPT = ["tok_embeddings", "attention_norm", "ffn_norm", "norm", "cos", "sin"];
  const { fround } = Math;

  /** The nearest float16, of two equally near ones the even. */
  const half = (value) => {
    const size = Math.abs(value);
    if (size === 0) return 0;
    const step = 2 ** (Math.max(Math.floor(Math.log2(size)), -14) - 10);
    const down = Math.floor(size / step);
    const rest = size / step - down;
    return Math.sign(value) * (down + (rest > 0.5 || (rest === 0.5 && down % 2 === 1))) * step;
  };

  /** Weights, (rows, columns) in one Float32Array, rounded to 2^bits levels for each group. */
  const rounded = (weights, columns, { bits, group }) => {
    const size = { matrix: weights.length, row: columns }[group] ?? group;
    if (!Number.isInteger(size) || size < 1 || (size !== weights.length && columns % size)) {
      throw new Error(`group=${group}: must divide rows of ${columns} weights`);
    }
    if (!(Number.isInteger(bits) && bits >= 2 && bits <= 8)) throw new Error(`bits=${bits}: must be 2 to 8`);
    const middle = 2 ** (bits - 1);
    const out = new Float32Array(weights.length);
    for (let at = 0; at < weights.length; at += size) {
      let [low, high] = [Infinity, -Infinity];
      for (let i = at; i < at + size; i++) {
        low = Math.min(low, weights[i]);
        high = Math.max(high, weights[i]);
      }
      const step = (-low >= high ? low : high) / -middle;
      const stored = half(step);
      const inverse = stored === 0 ? 1 : fround(1 / step);
      for (let i = at; i < at + size; i++) {
        const place = Math.floor(fround(fround(weights[i] * inverse) + middle + 0.5));
        out[i] = (Math.max(0, Math.min(2 * middle - 1, place)) - middle) * stored;
      }
    }
    return out;
  };

  /** A model that has the rounded weights of another. */
  const quantized = (model, how) => {
    const { dim, hidden_dim } = model.config;
    const columnsOf = (name) => (name === "w2" ? hidden_dim : dim);
    const weights = Object.entries(model.weights).map(([name, layers]) => {
      if (KEPT.includes(name)) return [name, layers];
      return [name, layers.map((matrix) => rounded(matrix, columnsOf(name), how))];
    });
    return new Llama(model.config, Object.fromEntries(weights));
  };

  Object.assign(typeof module === "object" ? module.exports : globalThis, { quantized });
}
