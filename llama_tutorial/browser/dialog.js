"use strict";
/* Llama 2's dialog format in plain JavaScript: what chat/dialog.py does, which says why.

     const ids = encodeDialog([{ role: "user", content: "Who is Lily?" }], tokenizer);

   Optionally one message by "system", then "user" and "assistant" in turn, "user" last. */
{
  const TAGS = ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"];
  const EDGES = /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g;

  const strip = (text) => text.replace(EDGES, ""); // Python's: trim() knows other characters

  const check = (message, i, role) => {
    if (message?.role !== role) {
      throw new Error(`message ${i} is by ${JSON.stringify(message?.role)}, but must be by "${role}": an optional "system" first, then alternately "user" and "assistant"`);
    }
    if (typeof message.content !== "string") throw new Error(`message ${i} has content ${JSON.stringify(message.content)}: it must be a text`);
    const tag = TAGS.find((one) => message.content.includes(one));
    if (tag) throw new Error(`message ${i} holds ${tag}, one of Llama 2's tags: it could fake a turn; take it out`);
  };

  /** The ids of a dialog that the model will answer. */
  const encodeDialog = (dialog, tokenizer) => {
    const system = dialog[0]?.role === "system" ? 1 : 0;
    if (dialog.length === system) throw new Error('a dialog needs at least one message by "user"');
    dialog.forEach((message, i) => check(message, i, i < system ? "system" : ["user", "assistant"][(i - system) % 2]));
    const contents = dialog.map((message) => message.content);
    if (contents.length % 2 === system) throw new Error(`message ${dialog.length - 1} is by "assistant", but the last must be by "user": it is what the model answers`);
    if (system) contents.splice(0, 2, `<<SYS>>\n${contents[0]}\n<</SYS>>\n\n${contents[1]}`);
    const ids = [];
    for (let i = 0; i < contents.length; i += 2) {
      const answer = i + 1 < contents.length ? ` ${strip(contents[i + 1])} ` : "";
      ids.push(...tokenizer.encode(`[INST] ${strip(contents[i])} [/INST]${answer}`, { bos: true }));
      if (answer) ids.push(tokenizer.eos_id);
    }
    return ids;
  };

  Object.assign(typeof module === "object" ? module.exports : globalThis, { encodeDialog });
}
