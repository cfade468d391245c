"""A conversation with a chat model: its history, what fits into the context, the streamed answer.

    >>> session = ChatSession(*load("tales-chat"))
    >>> for piece in session.say("Who lost a red ball?"):
    ...     print(piece, end="", flush=True)

Llama 2 remembers nothing: for every answer the model gets the whole dialog again, in the ids of
:func:`~llama_tutorial.chat.dialog.encode_dialog`. Three things follow, and are done here:

* The dialog grows and the context does not. When there is no room for an answer, the oldest
  question is dropped with its answer; the reply says how many were. The system text stays.
* Most of the dialog was computed before. The cache is kept, and only what follows the longest
  common prefix of the old ids and the new ones is computed. Ids decide, not turns: the model may
  have written its answer in other tokens than the tokenizer makes of the text.
* What the model says becomes part of its next prompt. It may not hold Llama's tags, just like a
  user's text, so an answer ends where the model begins to write one.

Nothing here needs torch; the model may be of either engine.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

from llama_tutorial._util.generation_settings import check_sampling
from llama_tutorial.chat.dialog import TAGS, dialog_turns, encode_dialog
from llama_tutorial.numpy_llama.engine import Cache, NumpyLlama
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer
from llama_tutorial.tokenizer.stop_strings import StopStrings


class Reply(Iterator[str]):
    """An answer while it is generated: an iterator of text, and what there is to know about it.

    Attributes:
        prompt: The ids that are answered.
        reused: How many of them were in the cache.
        dropped: How many old questions, with their answers, were dropped.
        ended: None while the answer is generated; then "stop" (the model ended it), "length" (no
            more room, or ``max_new_tokens`` reached), "tag" (the model began to write one of
            Llama's tags), "stop_string" (it wrote a stop string) or "stopped" (from outside).
    """

    def __init__(
        self,
        prompt: list[int],
        reused: int,
        dropped: int,
        pieces: Generator[str, None, str],
        stops: StopStrings,
    ) -> None:
        self.prompt, self.reused, self.dropped = prompt, reused, dropped
        self.ended: str | None = None
        self._pieces, self._stops = pieces, stops  # the pieces return why it ended

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the answer, if one did."""
        return self._stops.found if self.ended == "stop_string" else None

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration as end:
            self.ended = self.ended or end.value
            raise
        except BaseException:  # Ctrl-C, for instance
            self.ended = "stopped"
            raise

    def stop(self) -> None:
        """End the answer here, unless it has ended already."""
        self._pieces.close()
        self.ended = self.ended or "stopped"


class ChatSession:
    """A conversation with a model.

    Args:
        model: A :class:`~llama_tutorial.model.Transformer` or
            :class:`~llama_tutorial.numpy_llama.engine.NumpyLlama`, trained on Llama 2's dialog
            format.
        tokenizer: Its tokenizer.
        system: How the model should behave; None for no system text.
        max_new_tokens: Maximal length of an answer; None for the end of the context, of which a
            quarter is then kept free for each answer.
        temperature: 0 takes the likeliest token.
        top_k: Draw from the ``k`` likeliest only; None for all.
        top_p: Draw from the likeliest that together have this probability; 1 for all.
        min_p: Draw from those at least this many times as likely as the likeliest; 0 for all.
        repetition_penalty: Above 1 it makes the tokens of the dialog so far less likely; with it
            EOS, once the dialog holds an answer, so answers may grow longer.
        stop_strings: Texts that end an answer; it holds what stands before them.
        seed: Fixes the draws: an answer depends on it and on the dialog so far.

    Attributes:
        messages: What the model sees: optionally a "system" message, then alternately "user" and
            "assistant".

    Raises:
        ValueError: A setting is out of range, or the system text holds one of Llama's tags.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: BaseTokenizer | GPT2Tokenizer,
        *,
        system: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float | int = 0.6,
        top_k: int | None = None,
        top_p: float | int = 0.9,
        min_p: float | int = 0.0,
        repetition_penalty: float | int = 1.0,
        stop_strings: Iterable[str] = (),
        seed: int | None = None,
    ) -> None:
        check_sampling(temperature, top_k, top_p, min_p, repetition_penalty)
        self._stop_strings = StopStrings(stop_strings).stop_strings
        self._context = model.config.max_seq_len
        if max_new_tokens is not None and not 1 <= max_new_tokens < self._context:
            raise ValueError(
                f"max_new_tokens={max_new_tokens}: must be at least 1 and below the context of "
                f"{self._context}"
            )
        self._tokenizer, self._max_new_tokens = tokenizer, max_new_tokens
        self._stream, self._cache = _engine(model)
        self._sampling = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
            "seed": seed,
        }
        # A model that was trained otherwise may end its turn by beginning the next one: with BOS.
        self._stop_ids = {tokenizer.eos_id, tokenizer.bos_id}
        self._ids: list[int] = []  # those before the cache's length are in the cache
        self._reply: Reply | None = None
        self.messages: list[dict[str, str]] = []
        self.reset(system)

    @property
    def system(self) -> str | None:
        """The system text, if there is one."""
        return self.messages[0]["content"] if self._n_system else None

    @property
    def _n_system(self) -> int:
        return sum(message["role"] == "system" for message in self.messages[:1])

    def reset(self, system: str | None = None) -> None:
        """Forget the dialog, and begin with this system text.

        Raises:
            ValueError: It holds one of Llama's tags. The dialog is as it was.
        """
        messages = [] if system is None else [{"role": "system", "content": system}]
        if messages:
            dialog_turns([*messages, {"role": "user", "content": ""}])  # checks it
        self.stop()
        self.messages = messages

    def say(self, text: str) -> Reply:
        """Ask a question; the answer is generated while the reply is read.

        Question and answer become part of the dialog when the answer ends. A reply that is not
        read to its end is stopped by the next question.

        Returns:
            An iterator of pieces of text; joined, they are the answer.

        Raises:
            ValueError: The text holds one of Llama's tags, or cannot be encoded, or leaves no room
                for an answer. The dialog is as it was.
        """
        self.stop()
        question = {"role": "user", "content": text}
        prompt, dropped = self._fit(question)
        del self.messages[self._n_system : self._n_system + 2 * dropped]

        cached = self._ids[: int(self._cache.length)]
        reused = _n_common(cached, prompt[:-1])  # the last one's logits are needed
        stops = StopStrings([*TAGS, *self._stop_strings])
        pieces = self._answer(question, prompt, reused, stops)
        self._reply = Reply(prompt, reused, dropped, pieces, stops)
        return self._reply

    def stop(self) -> None:
        """End the current answer, if there is one. The text so far stays in the dialog."""
        if self._reply is not None:
            self._reply.stop()
        self._reply = None

    def _fit(self, question: dict[str, str]) -> tuple[list[int], int]:
        """The ids of the dialog without its oldest turns, and how many were dropped."""
        n_system, past = self._n_system, self.messages
        for dropped in range(len(past) // 2 + 1):
            dialog = [*past[:n_system], *past[n_system + 2 * dropped :], question]
            prompt = encode_dialog(dialog, self._tokenizer)
            room = self._context - len(prompt)
            if room >= (self._max_new_tokens or self._context // 4):
                break
        if room < 1:
            raise ValueError(
                f"the question takes {len(prompt)} tokens{' with the system text' * n_system}, and "
                f"the context of {self._context} leaves no room for an answer; shorten it"
            )
        return prompt, dropped

    def _answer(
        self, question: dict[str, str], prompt: list[int], reused: int, stops: StopStrings
    ) -> Generator[str, None, str]:
        """Yield the answer's text as far as it is certain; add it to the dialog at its end."""
        room = self._context - len(prompt)
        limit = min(self._max_new_tokens or room, room)
        self._ids = prompt[:reused]  # the cache holds no more for certain before the first new id
        ids = self._stream(
            prompt,
            limit,
            cache=self._cache,
            start=reused,
            stop_ids=self._stop_ids,
            **self._sampling,
        )
        text, shown, ended = "", 0, "stopped"
        new: list[int] = []
        try:
            decoder = self._tokenizer.stream_decoder()
            for token in ids:
                new.append(token)
                self._ids = prompt + new
                text = (text + stops.feed(decoder.feed(token))).lstrip()
                if stops.found is not None:
                    break
                if (certain := len(text.rstrip())) > shown:  # spaces only if text follows
                    piece, shown = text[shown:certain], certain
                    yield piece
            else:
                text = (text + stops.feed(decoder.flush()) + stops.flush()).lstrip()
            if stops.found is None:
                ended = "length" if len(new) == limit else "stop"
            else:
                ended = "tag" if stops.found in TAGS else "stop_string"
            if rest := text[shown:].rstrip():
                yield rest
            return ended
        finally:
            answer = (text[:shown] if ended == "stopped" else text).strip()
            if answer or ended != "stopped":
                self.messages += [question, {"role": "assistant", "content": answer}]


def _engine(model: Any) -> tuple[Callable[..., Iterator[int]], Any]:
    """The function that continues a prompt, and an empty cache for it."""
    if isinstance(model, NumpyLlama):
        return model.stream, Cache(model.config, model.config.max_seq_len)
    from llama_tutorial.generation import stream
    from llama_tutorial.kv_cache import KVCache

    return partial(stream, model), KVCache(model.config, dtype=model.dtype, device=model.device)


def _n_common(ids: Sequence[int], others: Sequence[int]) -> int:
    """The length of the common prefix."""
    pairs = zip(ids, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
