"use strict";
/* llama2.c's tokenizer.bin in plain JavaScript: what tokenizer/bin_file.py, bpe.py and
   stream_decoder.py do.

     const tokenizer = Tokenizer.read(buffer);             // an ArrayBuffer
     tokenizer.encode("Once upon a time", { bos: true });  // ids
     tokenizer.decode(ids);                                // text

   Ids 0, 1, 2 are unknown, BOS and EOS; a space is put before every text; a piece <0xNN> is a byte. */
{
  const BYTE_PIECE = /^<0x([0-9A-F]{2})>$/;
  const [UNKNOWN, BOS, EOS] = [0, 1, 2];
  const LONGEST = 65535;

  /** Pieces and scores of a tokenizer.bin. Throws an Error that names the byte where it ends or errs. */
  const readPieces = (buffer) => {
    const [length, view] = [buffer.byteLength, new DataView(buffer)];
    if (length < 4) throw new Error(`only ${length} bytes: a tokenizer.bin begins with a 4-byte number`);
    const longest = view.getInt32(0, true);
    if (longest < 1 || longest > LONGEST) {
      throw new Error(`no tokenizer.bin: it begins with ${longest}, must be the length of its longest piece, 1 to ${LONGEST}`);
    }
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const [pieces, scores] = [[], []];
    for (let at = 4; at < length; ) {
      if (at + 8 > length) throw new Error(`byte ${at}: ${length - at} bytes left where a piece needs 8: truncated`);
      const [score, size] = [view.getFloat32(at, true), view.getInt32(at + 4, true)];
      at += 8;
      const piece = `byte ${at - 4}: piece ${pieces.length} is ${size} bytes long`;
      if (size < 1 || size > longest) throw new Error(`${piece}, but the file says 1 to ${longest}: no tokenizer.bin`);
      if (at + size > length) throw new Error(`${piece} and ${length - at} are left: truncated`);
      if (!Number.isFinite(score)) throw new Error(`piece ${pieces.length} has score ${score}: it must be finite`);
      try {
        pieces.push(utf8.decode(new Uint8Array(buffer, at, size)));
      } catch {
        throw new Error(`byte ${at}: piece ${pieces.length} is not UTF-8: no tokenizer.bin`);
      }
      scores.push(score);
      at += size;
    }
    if (pieces.length <= EOS) throw new Error(`${pieces.length} pieces: a vocabulary begins with <unk>, <s> and </s>`);
    for (const id of [BOS, EOS]) pieces[id] = pieces[id].replace(/^\n+|\n+$/g, "") || pieces[id];
    return { pieces, scores };
  };

  class Tokenizer {
    /** A tokenizer from the bytes of a tokenizer.bin. Throws an Error that says what is wrong with it. */
    static read(buffer) {
      const { pieces, scores } = readPieces(buffer);
      return new this(pieces, scores);
    }

    constructor(pieces, scores) {
      this.pieces = pieces;
      this.vocab_size = pieces.length;
      [this.bos_id, this.eos_id] = [BOS, EOS];
      this.byteIds = []; // of the bytes 0 to 255, or empty
      this.bytes = new Map(); // the byte of such an id
      this.ids = new Map(); // of what may be found in text: <s> and <0x0A>, typed by someone, are text
      this.scores = new Map(); // of the pieces that merges may make
      pieces.forEach((piece, id) => {
        if (id <= EOS) return;
        const hex = BYTE_PIECE.exec(piece)?.[1];
        const byte = parseInt(hex, 16);
        const first = hex ? this.byteIds[byte] : this.ids.get(piece);
        if (first !== undefined) throw new Error(`pieces ${first} and ${id} are both ${JSON.stringify(piece)}`);
        if (hex) {
          this.byteIds[byte] = id;
          this.bytes.set(id, byte);
          return;
        }
        this.ids.set(piece, id);
        if (Array.from(piece).length > 1) this.scores.set(piece, scores[id]);
      });
      if (this.bytes.size % 256) {
        throw new Error(`${this.bytes.size} of the 256 byte pieces <0x00> to <0xFF> are there: must be all, or none`);
      }
      // Where no piece holds a space after another character, no merge crosses the start of a word.
      const crossing = [...this.scores.keys()].some((piece) => / /.test(piece.replace(/^ +/, "")));
      this.words = crossing ? /[^]+/gu : / *[^ ]+| +/gu;
    }

    /** The ids of a text, after BOS if asked for. */
    encode(text, { bos = false } = {}) {
      if (typeof text !== "string" || /\p{Surrogate}/u.test(text)) {
        throw new Error(`${JSON.stringify(text)} cannot be encoded: must be a text without half a surrogate pair`);
      }
      const ids = bos ? [BOS] : [];
      for (const [word] of text ? ` ${text}`.matchAll(this.words) : []) {
        for (const symbol of this.merge(Array.from(word))) {
          const id = this.ids.get(symbol) ?? UNKNOWN;
          if (id === UNKNOWN && this.byteIds.length) {
            for (const byte of new TextEncoder().encode(symbol)) ids.push(this.byteIds[byte]);
          } else if (id !== UNKNOWN || ids.at(-1) !== UNKNOWN) {
            ids.push(id); // a run of unknown characters is one unknown id
          }
        }
      }
      return ids;
    }

    /** Joins the neighbours whose piece has the highest score, the leftmost of equals, until none can. */
    merge(symbols) {
      const scoreAt = (i) => {
        const joined = i + 1 < symbols.length ? symbols[i] + symbols[i + 1] : "";
        return this.scores.get(joined) ?? -Infinity;
      };
      const scores = symbols.map((_, i) => scoreAt(i)); // of the pair that begins at each
      for (;;) {
        let best = 0;
        for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
        if (!(scores[best] > -Infinity)) return symbols;
        symbols.splice(best, 2, symbols[best] + symbols[best + 1]);
        scores.splice(best, 1);
        scores[best] = scoreAt(best);
        if (best > 0) scores[best - 1] = scoreAt(best - 1);
      }
    }

    /** The text of ids: special ids vanish, and so does the space before the first word. */
    decode(ids) {
      const decoder = this.streamDecoder();
      return Array.from(ids, decoder.feed).join("") + decoder.flush();
    }

    /** Ids to text as they come: feed(id) never gives half a character, and flush() ends the text. */
    streamDecoder() {
      let [held, atStart] = [[], true];
      /** The characters of the held bytes that are whole; U+FFFD for each byte that is part of none. */
      const take = (final) => {
        let text = "";
        while (held.length) {
          const size = held[0] < 0x80 ? 1 : held[0] < 0xe0 ? 2 : held[0] < 0xf0 ? 3 : 4;
          const character = whole(held.slice(0, size));
          if (character === null && !final && couldBegin(held)) return text;
          text += character ?? "\ufffd";
          held = held.slice(character === null ? 1 : size);
        }
        return text;
      };
      const feed = (id) => {
        if (!Number.isInteger(id) || id < 0 || id >= this.vocab_size) {
          throw new Error(`id ${id} is out of range: this vocabulary has ids 0 to ${this.vocab_size - 1}`);
        }
        if (this.bytes.has(id)) {
          held.push(this.bytes.get(id));
          const text = take(false);
          atStart &&= !text;
          return text;
        }
        let text = take(true);
        let piece = id === UNKNOWN ? " \u2047 " : id <= EOS ? "" : this.pieces[id];
        if (atStart && piece && !text) {
          atStart = false;
          return id !== UNKNOWN && piece.startsWith(" ") ? piece.slice(1) : piece;
        }
        text += piece;
        atStart &&= !text;
        return text;
      };
      const flush = () => {
        const text = take(true);
        atStart = true;
        return text;
      };
      return { feed, flush };
    }
  }

  /** The one character that these bytes are in UTF-8, or null. */
  const whole = (bytes) => {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
      return Array.from(text).length === 1 ? text : null;
    } catch {
      return null;
    }
  };

  /** Whether more bytes could make these the beginning of a character. */
  const couldBegin = (bytes) => {
    const [first, second] = bytes;
    const size = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 1;
    if (bytes.length >= size) return false;
    if (bytes.slice(1).some((byte) => byte >> 6 !== 2)) return false;
    const [low, high] = { 0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f] }[first] ?? [0x80, 0xbf];
    return second === undefined || (second >= low && second <= high);
  };

  Object.assign(typeof module === "object" ? module.exports : globalThis, { Tokenizer });
}
