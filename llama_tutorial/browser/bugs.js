"use strict";
/* The bug museum: mistakes that raise nothing, switched on one at a time in the living model.

     const { bugs } = require("./bugs.js");
     const wrong = bugs.broken(right, "half_split");          // the same weights, one line different
     const shown = bugs.exhibit(right, "half_split", ids);    // both texts, and where they part

   Each entry changes one method of Llama, its weights, or the prompt. bugs.py makes the same mistakes in
   PyTorch under the same names, with the lines of code as somebody would write them; a test holds both
   equal. What a mistake in quantization is compared with is the model that was rounded rightly.
   Mistakes with the causal mask are missing: one token at a time there is no future to look at. */
{
  const inNode = typeof require === "function";
  const { draw, nextProbabilities, rowSeed, uniforms } = inNode ? require("./sampling.js") : globalThis;
  const { Llama } = inNode ? require("./llama.js") : globalThis;

  const mean = (x, of) => x.reduce((sum, value) => sum + of(value), 0) / x.length;
  const times = (x, factor) => x.forEach((value, i) => (x[i] = factor * value));
  /** RoPE's turn of a head whose pairs are half a head apart, in place. */
  const turnHalves = (model, head, position) => {
    const half = head.length / 2;
    for (let j = 0; j < half; j++) {
      const [cos, sin] = [model.cos[position * half + j], model.sin[position * half + j]];
      const [a, b] = [head[j], head[j + half]];
      head[j] = a * cos - b * sin;
      head[j + half] = a * sin + b * cos;
    }
  };

  const rotateHalves = (model, x, position) => {
    const { head_dim: h } = model.config;
    for (let at = 0; at < x.length; at += h) turnHalves(model, x.subarray(at, at + h), position);
  };

  const withEps = (eps) =>
    class extends Llama {
      constructor(config, weights) {
        super({ ...config, norm_eps: eps }, weights);
      }
    };

  /** A model whose cache is as a new one at each beginning: zeros, and nothing of the last text. */
  class Empty extends Llama {
    constructor(config, weights) {
      super(config, weights);
      this.reset();
    }

    reset() {
      super.reset();
      for (const slots of [...this.keys, ...this.values]) slots.fill(0);
    }
  }

  const BOS = 1;

  // Quantization: formats.py in JavaScript. A matrix is { integers, scales, size }, and `size` neighbours
  // share a scale; what is float32 there is float32 here, so that both round the same.

  const GROUP = 32;
  const f32 = Math.fround;
  const clipped = (x, least, most) => Math.min(Math.max(x, least), most);

  /** The nearest integer, of two the even one. */
  const nearest = (x) => {
    const up = Math.round(x);
    return up - x === 0.5 && up % 2 ? up - 1 : up;
  };

  /** The nearest float16. */
  const f16 = (x) => {
    const step = 2 ** Math.max(Math.floor(Math.log2(Math.abs(x))) - 10, -24);
    return step * nearest(x / step);
  };

  /** Integers and scales of a matrix: integer(weight, step) with the step that step(least, largest) gives. */
  const rounded = (w, size, step, integer) => {
    const [integers, scales] = [new Int8Array(w.length), new Float32Array(w.length / size)];
    for (let at = 0; at < w.length; at += size) {
      let [least, largest] = [w[at], w[at]];
      for (let i = at; i < at + size; i++) {
        if (w[i] < least) least = w[i];
        else if (w[i] > largest) largest = w[i];
      }
      const one = step(least, largest);
      scales[at / size] = f16(one);
      for (let i = at; i < at + size; i++) integers[i] = integer(w[i], one || 1);
    }
    return { integers, scales, size };
  };

  const furthest = (least, largest) => Math.max(-least, largest);
  const step8 = (least, largest) => f32(furthest(least, largest) / 127);
  const step4 = (least, largest) => (-least >= largest ? least : largest) / -8; // the furthest becomes -8
  const int8 = (w) => rounded(w, GROUP, step8, (x, step) => clipped(nearest(f32(x / step)), -127, 127));
  const int4 = (w, size = GROUP) =>
    rounded(w, size, step4, (x, step) => Math.floor(clipped(f32(f32(x * f32(1 / step)) + 8.5), 0, 15)) - 8);

  /** The matrix that is read again. */
  const back = ({ integers, scales, size }) => {
    const w = new Float32Array(integers.length);
    for (let i = 0; i < w.length; i++) w[i] = integers[i] * scales[(i / size) | 0];
    return w;
  };

  /** A model whose matrices were rounded: those of the layers by `blocks`, embedding and head by `ends`. */
  const packed = (blocks, ends) =>
    class extends Llama {
      constructor(config, weights) {
        if (config.dim % GROUP || config.hidden_dim % GROUP) {
          throw new Error(`rows of ${config.dim} and ${config.hidden_dim} weights: must be groups of ${GROUP}`);
        }
        const made = { ...weights, tok_embeddings: [back(ends(weights.tok_embeddings[0]))] };
        if (weights.output) made.output = [back(ends(weights.output[0]))];
        for (const name of ["wq", "wk", "wv", "wo", "w1", "w2", "w3"]) made[name] = weights[name].map((w) => back(blocks(w)));
        super(config, made);
      }
    };

  const Int8 = packed(int8, int8);
  const Int4 = packed(int4, int8); // as load(..., quantize="int4") has it

  const signExtended = ({ integers, ...rest }) => ({ integers: integers.map((q) => (q < 0 ? q + 8 : q - 8)), ...rest });

  const asNeighbours = ({ integers, ...rest }) => {
    const half = GROUP / 2; // byte j holds weights j and j + half
    const moved = integers.map((_, i) => integers[i - (i % GROUP) + ((i % GROUP) >> 1) + half * (i % 2)]);
    return { integers: moved, ...rest };
  };

  const nextScale = ({ scales, ...rest }) => ({ scales: scales.map((_, g) => scales[(g + 1) % scales.length]), ...rest });

  const times128 = (w) => // an Int8Array wraps around as int8 does
    rounded(w, GROUP, (...ends) => furthest(...ends) / 128, (x, step) => nearest(f32(x / step)));

  const models = {
    // rope

    half_split: class extends Llama {
      rotate(x, position) {
        rotateHalves(this, x, position);
      }
    },

    half_split_keys: class extends Llama {
      rotate(x, position) {
        if (x === this.q) super.rotate(x, position);
        else rotateHalves(this, x, position);
      }
    },

    not_rotated: class extends Llama {
      rotate() {}
    },

    late_queries: class extends Llama {
      rotate(x, position) {
        super.rotate(x, position);
        if (x === this.q) super.rotate(x, 1); // one more: the table ends at the last position
      }
    },

    both_late: class extends Llama {
      rotate(x, position) {
        super.rotate(x, position);
        super.rotate(x, 1);
      }
    },

    // rmsnorm

    no_norm_weight: class extends Llama {
      rmsNorm(out, x) {
        const size = Math.sqrt(mean(x, (value) => value * value) + this.config.norm_eps);
        for (let i = 0; i < x.length; i++) out[i] = x[i] / size;
      }
    },

    mean_over_positions: class extends Llama {
      // Of one position, which is all that there is at a time, the mean is the square itself.
      rmsNorm(out, x, weight) {
        for (let i = 0; i < x.length; i++) out[i] = (x[i] / Math.sqrt(x[i] * x[i] + this.config.norm_eps)) * weight[i];
      }
    },

    mean_subtracted: class extends Llama {
      rmsNorm(out, x, weight) {
        const middle = mean(x, (value) => value);
        super.rmsNorm(out, x.map((value) => value - middle), weight);
      }
    },

    mean_of_sizes: class extends Llama {
      rmsNorm(out, x, weight) {
        const size = mean(x, Math.abs);
        for (let i = 0; i < x.length; i++) out[i] = (x[i] / size) * weight[i];
      }
    },

    eps_outside: class extends Llama {
      rmsNorm(out, x, weight) {
        const size = Math.sqrt(mean(x, (value) => value * value)) + this.config.norm_eps;
        for (let i = 0; i < x.length; i++) out[i] = (x[i] / size) * weight[i];
      }
    },

    small_eps: withEps(1e-6),

    large_eps: withEps(1e-1),

    // swiglu

    gelu: class extends Llama {
      gated(a, b) {
        return 0.5 * a * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3))) * b;
      }
    },

    relu: class extends Llama {
      gated(a, b) {
        return Math.max(a, 0) * b;
      }
    },

    no_silu: class extends Llama {
      gated(a, b) {
        return a * b;
      }
    },

    swapped_gate: class extends Llama {
      gated(a, b) {
        return super.gated(b, a);
      }
    },

    silu_last: class extends Llama {
      gated(a, b) {
        return super.gated(a * b, 1);
      }
    },

    no_w3: class extends Llama {
      gated(a) {
        return super.gated(a, 1);
      }
    },

    // gqa

    repeat_in_rounds: class extends Llama {
      keyHead(head) {
        return head % this.config.n_kv_heads;
      }
    },

    skips_slot_zero: class extends Empty {
      // RoPE does not notice that all stand one position later; but slot 0 is looked at, and empty.
      reset() {
        super.reset();
        this.length = 1;
      }
    },

    reads_before_writing: class extends Empty {
      // Written one slot on, what is new is found from the next token on: slots have no order.
      slot(position) {
        return position + 1;
      }
    },

    // gpt

    no_scale: class extends Llama {
      scale() {
        return 1;
      }
    },

    scaled_twice: class extends Llama {
      scale() {
        return super.scale() ** 2;
      }
    },

    scaled_by_width: class extends Llama {
      scale() {
        return 1 / Math.sqrt(this.config.dim);
      }
    },

    no_residual: class extends Llama {
      add(added) {
        this.x.set(added);
      }
    },

    scaled_embedding: class extends Llama {
      embed(id) {
        super.embed(id);
        times(this.x, Math.sqrt(this.config.dim));
      }
    },

    no_last_norm: class extends Llama {
      rmsNorm(out, x, weight) {
        if (weight === this.weights.norm[0]) out.set(x);
        else super.rmsNorm(out, x, weight);
      }
    },

    // quantization

    one_scale: packed((w) => int4(w, w.length), int8),

    truncated: packed((w) => rounded(w, GROUP, step4, (x, step) => clipped(Math.trunc(f32(x / step)), -8, 7)), int8),

    signed_nibbles: packed((w) => signExtended(int4(w)), int8),

    nibble_order: packed((w) => asNeighbours(int4(w)), int8),

    next_scale: packed((w) => nextScale(int8(w)), (w) => nextScale(int8(w))),

    times_128: packed(times128, times128),
  };

  // What stands beside a broken model, where it is not the model as it came.
  const bases = {
    ...{ one_scale: Int4, truncated: Int4, signed_nibbles: Int4, nibble_order: Int4 },
    ...{ next_scale: Int8, times_128: Int8 },
  };

  const prompts = {
    // tokenizer
    no_bos: (ids) => ids.filter((id) => id !== BOS),
    double_bos: (ids) => [BOS, ...ids],
  };

  const names = [...Object.keys(models), ...Object.keys(prompts)];

  /** A model with a bug that has the weights of the right one. */
  const broken = (right, bug) => {
    if (!names.includes(bug)) throw new Error(`no bug ${bug}; there are ${names.join(", ")}`);
    return new (models[bug] ?? Llama)(right.config, right.weights);
  };

  const beside = new WeakMap(); // by model: its rounded ones by class

  /** The right model that a broken one is compared with: for most bugs the model itself. */
  const rightOne = (model, bug) => {
    const Kind = bases[bug];
    if (!Kind) return model;
    if (!beside.has(model)) beside.set(model, new Map());
    const made = beside.get(model);
    if (!made.has(Kind)) made.set(Kind, new Kind(model.config, model.weights));
    return made.get(Kind);
  };

  /** The ids that the code with this bug would feed. */
  const brokenPrompt = (ids, bug) => prompts[bug]?.(ids) ?? ids;

  /** Continues a prompt: the new ids, and the logits that each was taken from. */
  const write = (model, ids, { count, temperature = 0, topP = 0.9, stopIds = [], numbers }) => {
    const [found, logits] = [[], []];
    model.reset();
    for (const id of ids.slice(0, -1)) model.advance(id);
    for (let id = ids.at(-1); found.length < count; found.push(id)) {
      const next = model.step(id);
      id = temperature > 0 ? draw(nextProbabilities(next, temperature, null, topP), numbers.next().value) : likeliest(next);
      logits.push(next);
      if (stopIds.includes(id)) break;
    }
    return { ids: found, logits };
  };

  const written = new WeakMap(); // what a right model wrote last: often the next bug stands beside the same

  /** Right and broken on one prompt, greedy or by the same draws.

      Gives both texts' ids; `parts`, the number of the first new token that differs (null: none does);
      the distance of the logits which that token was taken from, when both had read the same: the
      largest of all, and KL(right || broken) in nats (without a difference, where it is largest); and
      what the right text's tokens cost either model, in nats a token.

      Options: count (40), temperature (0: the likeliest), topP (0.9), seed (0), stopIds ([]). */
  const exhibit = (model, bug, ids, options = {}) => {
    const { count = 40, seed = 0 } = options;
    if (!(Number.isInteger(count) && count >= 1)) throw new Error(`count=${count}: must be an integer of at least 1`);
    const [right, wrong, fed] = [rightOne(model, bug), broken(model, bug), brokenPrompt(ids, bug)];
    const continued = (model, prompt) => write(model, prompt, { ...options, count, numbers: uniforms(rowSeed(seed, ids)) });
    const wanted = JSON.stringify([ids, { ...options, count, seed }]);
    if (written.get(right)?.wanted !== wanted) written.set(right, { wanted, ...continued(right, ids) });
    const [good, bad] = [written.get(right), continued(wrong, fed)];
    const parts = good.logits.findIndex((_, i) => good.ids[i] !== bad.ids[i]); // a text that ends early parts there
    const common = good.logits.slice(0, parts < 0 ? undefined : parts + 1);
    const distances = common.map((logits, i) => distance(logits, bad.logits[i]));
    return {
      right: good.ids,
      broken: bad.ids,
      parts: parts < 0 ? null : parts,
      ...(parts < 0 ? distances.reduce((a, b) => (b.largest > a.largest ? b : a)) : distances[parts]),
      rightLoss: loss(good.logits, good.ids),
      brokenLoss: loss(rereads(wrong, bad.logits, good.ids, parts < 0 ? good.ids.length : parts), good.ids),
    };
  };

  /** The logits from which a model that has written otherwise would take these new ids: up to where the
      texts part it has them, then it forgets the rest of its own and reads on. */
  const rereads = (model, logits, ids, parts) => {
    model.length -= Math.max(logits.length - 1 - parts, 0);
    return [...logits.slice(0, parts + 1), ...ids.slice(parts, -1).map((id) => model.step(id))];
  };

  /** How far logits are from the right ones: the largest difference, and KL(right || other) in nats. */
  const distance = (right, other) => {
    const [p, q] = [logProbabilities(right), logProbabilities(other)];
    return {
      largest: right.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i])), 0),
      divergence: p.reduce((sum, value, i) => sum + Math.exp(value) * (value - q[i]), 0),
    };
  };

  /** Mean of -log p of the ids, in nats. */
  const loss = (logits, ids) => ids.reduce((sum, id, i) => sum - logProbabilities(logits[i])[id], 0) / ids.length;

  const logProbabilities = (logits) => {
    const wide = Float64Array.from(logits);
    const top = wide.reduce((a, b) => Math.max(a, b));
    const all = top + Math.log(wide.reduce((sum, value) => sum + Math.exp(value - top), 0));
    return wide.map((value) => value - all);
  };

  const likeliest = (logits) => logits.reduce((best, value, i) => (value > logits[best] ? i : best), 0);

  Object.assign(typeof module === "object" ? module.exports : globalThis, { bugs: { names, broken, rightOne, brokenPrompt, exhibit } });
}
