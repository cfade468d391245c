"use strict";
/* From logits to a token: the rules of numpy_llama/sampling.py, and its random numbers.

   A repetition penalty comes first, then temperature, top-k, top-p and min-p. Top-k and top-p keep the
   tokens above a threshold and, among those exactly on it, the first. Python starts a row's draws from
   a hash of the seed and the prompt (BLAKE2b) and draws from the Mersenne Twister; so does this, and
   one seed gives one text in all three engines. */
{
  const [TINY, HUGE] = [1.1754943508222875e-38, 3.4028234663852886e38]; // of float32
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

  /** What the next token is drawn from: a Float32Array (V) that sums to 1. */
  const nextProbabilities = (logits, temperature, topK = null, topP = 1, minP = 0) => {
    if (topK !== null && !(Number.isInteger(topK) && topK >= 1)) {
      throw new Error(`topK=${topK}: must be an integer of at least 1, or null for all`);
    }
    if (!(topP > 0 && topP <= 1)) throw new Error(`topP=${topP}: must be above 0 and at most 1, which keeps all`);
    if (!(minP >= 0 && minP <= 1)) throw new Error(`minP=${minP}: must be 0, which keeps all, to 1`);
    let best = -Infinity;
    for (const logit of logits) best = Math.max(best, logit);
    const divisor = Math.fround(clamp(temperature, TINY, HUGE));
    const scaled = logits.map((logit) => Math.fround(logit - best) / divisor); // the best becomes 0
    if (topK !== null && topK < scaled.length) keep(scaled, topK, scaled.slice().sort().at(-topK));
    if (topP < 1) {
      const [exps, sum] = exponentials(scaled);
      // Less than an equal share of what is cut: such a token is cut itself, and need not be sorted.
      // A float32 is exact to 2 ** -24.
      const share = sum * Math.max((1 - topP) / scaled.length - 2 ** -23, 0);
      const ordered = scaled.filter((_, i) => exps[i] >= share).sort().reverse();
      let [reached, count] = [0, 0];
      for (const value of ordered) {
        const probability = Math.fround(Math.fround(Math.exp(value)) / sum);
        reached += probability;
        // What the likelier tokens hold.
        if (Math.fround(Math.fround(reached) - probability) <= Math.fround(topP)) count++;
      }
      count = Math.max(count, 1); // the likeliest always stays
      keep(scaled, count, ordered[count - 1]);
    }
    if (minP) keep(scaled, scaled.length, Math.fround(Math.log(minP)));
    const [exps, sum] = exponentials(scaled);
    return exps.map((value) => value / sum);
  };

  /** Of numbers up to 0, as float32, and their sum. */
  const exponentials = (x) => {
    const exps = x.map(Math.exp);
    let sum = 0;
    for (const value of exps) sum += value;
    return [exps, sum];
  };

  /** Sets all but the `count` largest to -Infinity, of which `least` is the smallest, in place. */
  const keep = (x, count, least) => {
    let room = count; // for the first of the equals
    for (const value of x) if (value > least) room--;
    for (let i = 0; i < x.length; i++) if (!(x[i] > least || (x[i] === least && room-- > 0))) x[i] = -Infinity;
  };

  /** Logits with the tokens of a text made less likely: positive ones divided, the others multiplied. */
  const penalized = (logits, ids, penalty) => {
    if (!(penalty > 0 && penalty < Infinity)) throw new Error(`repetitionPenalty=${penalty}: must be above 0; 1 is none`);
    const [found, by] = [logits.slice(), Math.fround(clamp(penalty, TINY, HUGE))];
    for (const id of ids) {
      const logit = logits[id];
      if (logit > -Infinity) found[id] = clamp(logit > 0 ? logit / by : logit * by, -HUGE, HUGE);
    }
    return found;
  };

  /** The token whose share of the unit interval `uniform` falls into. */
  const draw = (probabilities, uniform) => {
    let [total, reached, id] = [0, 0, -1];
    for (const probability of probabilities) total += probability; // float64, like the running sum below
    const target = clamp(uniform, 0, 1 - 2 ** -53) * total;
    while (reached <= target) reached += probabilities[++id];
    return id;
  };

  /** The number that starts the draws after a prompt; without a seed another each time. */
  const rowSeed = (seed, ids) => {
    if (seed === null) return Math.floor(Math.random() * 2 ** 32);
    if (!Number.isSafeInteger(seed)) throw new Error(`seed=${seed}: must be an integer, or null for new draws`);
    const tuple = ids.length === 1 ? `(${ids[0]},)` : `(${Array.from(ids).join(", ")})`; // as Python writes it
    const hash = blake2b8(new TextEncoder().encode(`${seed} 0 ${tuple}`));
    return new DataView(hash.buffer).getUint32(4); // the low half of its 64 bits
  };

  /** Numbers in [0, 1): those of torch.rand(1, dtype=torch.float64) after this seed. */
  function* uniforms(seed) {
    const twister = mersenne(seed);
    for (;;) {
      const [high, low] = [twister(), twister()];
      yield ((high % 2 ** 21) * 2 ** 32 + low) / 2 ** 53; // 53 of the 64 bits
    }
  }

  /** MT19937 (Matsumoto and Nishimura, 1998): a function that gives 32 bits at each call. */
  const mersenne = (seed) => {
    const state = new Uint32Array(624);
    state[0] = seed;
    for (let i = 1; i < 624; i++) {
      state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    }
    let at = 624;
    return () => {
      if (at === 624) {
        for (let i = 0; i < 624; i++) {
          const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
          state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
        }
        at = 0;
      }
      let y = state[at++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    };
  };

  const IV = [
    0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
    0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
  ];
  const SIGMA = [
    "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8",
    "905724afe1bc683d", "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a",
    "6fe9b308c2d714a5", "a2847615fb9e3cd0",
  ];

  /** BLAKE2b (RFC 7693) with a digest of 8 bytes. */
  const blake2b8 = (bytes) => {
    const h = BigUint64Array.from(IV);
    h[0] ^= 0x01010008n; // no key, 8 bytes
    const blocks = Math.max(Math.ceil(bytes.length / 128), 1);
    const padded = new Uint8Array(128 * blocks);
    padded.set(bytes);
    for (let block = 0; block < blocks; block++) {
      const m = new BigUint64Array(padded.buffer, 128 * block, 16);
      const last = block === blocks - 1;
      const v = BigUint64Array.from([...h, ...IV]);
      v[12] ^= BigInt(last ? bytes.length : 128 * (block + 1));
      if (last) v[14] = ~v[14];
      const turn = (x, bits) => (x >> bits) | (x << (64n - bits));
      const mix = (a, b, c, d, x, y) => {
        v[a] += v[b] + x;
        v[d] = turn(v[d] ^ v[a], 32n);
        v[c] += v[d];
        v[b] = turn(v[b] ^ v[c], 24n);
        v[a] += v[b] + y;
        v[d] = turn(v[d] ^ v[a], 16n);
        v[c] += v[d];
        v[b] = turn(v[b] ^ v[c], 63n);
      };
      for (let round = 0; round < 12; round++) {
        const s = Array.from(SIGMA[round % 10], (digit) => m[parseInt(digit, 16)]);
        for (let i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i, s[2 * i], s[2 * i + 1]);
        for (let i = 0; i < 4; i++) {
          mix(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4), s[8 + 2 * i], s[9 + 2 * i]);
        }
      }
      for (let i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    }
    return new Uint8Array(h.buffer.slice(0, 8));
  };

  Object.assign(typeof module === "object" ? module.exports : globalThis, { draw, nextProbabilities, penalized, rowSeed, uniforms });
}
