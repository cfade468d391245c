"""From logits to text: cuts, draws, the loop, and the layout of a dialog."""

import math

import torch


def top_k(logits, k):
    """Keep the k largest logits.

    Args:
        logits: float[V]. Of equal ones any may stay.
        k: How many stay; it may be larger than V.

    Returns:
        float[V]: the logits, minus infinity where they were dropped. A new tensor.
    """
    order = logits.argsort(descending=True)
    return logits.scatter(0, order[k:], -torch.inf)


def top_p(logits, p):
    """Keep the likeliest tokens that together hold a share p.

    Meta's rule: put the tokens in order, the likeliest first. A token stays if and only if those
    before it hold at most p together. So the likeliest always stays, and so does the one with which
    the sum crosses p.

    Args:
        logits: float[V], in any order. Which of equal ones comes first does not matter.
        p: A number above 0 and below 1.

    Returns:
        float[V]: the logits, each in its own place, minus infinity where they were dropped.
    """
    order = logits.argsort(descending=True)
    share = logits[order].softmax(-1)
    above = share.cumsum(-1) - share  # what the likelier tokens hold
    return logits.scatter(0, order[above > p], -torch.inf)


def next_shares(logits, temperature, p):
    """The probabilities that the next token is drawn from: temperature first, then top-p.

    What is left after the cut is divided by its sum. Temperature 0 is a case of its own: the
    likeliest token gets 1, all others 0.

    Args:
        logits: float[V], in any order.
        temperature: A number, 0 or above.
        p: A number above 0 and below 1, for top-p.

    Returns:
        float[V]: probabilities that sum to 1, exactly 0 where a token was dropped.
    """
    if temperature == 0:
        shares = torch.zeros_like(logits)
        shares[logits.argmax()] = 1
        return shares
    return top_p(logits / temperature, p).softmax(-1)


def draw(probabilities, u):
    """The token on whose part of the interval from 0 to 1 the number u falls.

    Lay the probabilities side by side, token 0 first. Token i is drawn if the sum of those before
    it is at most u, and the sum up to and with it is above u. So a token of probability 0 is never
    drawn.

    Args:
        probabilities: float[V], at least 0. By rounding, their sum may not be exactly 1, so u is a
            share of the sum.
        u: A number from 0 on and below 1.

    Returns:
        The token, an int.
    """
    reached = probabilities.cumsum(-1)  # (V,)
    return int(torch.searchsorted(reached, u * reached[-1], right=True))


def greedy(feed, prompt, n, stop_ids=()):
    """Write up to n tokens, the likeliest each time; every token is fed once, in order.

    Args:
        feed: The model and its cache. ``feed(ids)`` runs the ids through it, after all those that
            it was fed before, and returns the logits of the token that comes next, float[V].
        prompt: A list of ids, all fed in one call.
        n: The most tokens to write, an int.
        stop_ids: Where one of them comes out, the text has ended: it is not returned.

    Returns:
        The new ids, a list of int.
    """
    new = []
    logits = feed(prompt)  # the prefill
    while len(new) < n and (token := int(logits.argmax())) not in stop_ids:
        new.append(token)
        logits = feed([token])  # one token of the decode
    return new


def encode_dialog(dialog, tokenizer):
    """The ids of a dialog in Llama 2's layout.

    Each question is encoded together with its answer, with BOS before and EOS after them::

        [INST] first question [/INST] its answer ␣
        [INST] last question [/INST]

    There is one space on each side of a question, and before and after an answer (here ␣). Other
    white space at either end of a question or an answer is taken away. The last question has no
    answer, and so no EOS. A system message has no turn of its own: it becomes part of the first
    question, before its text, between ``<<SYS>>``, a line feed, and a line feed, ``<</SYS>>``, two
    line feeds. So white space at the ends of the system message, or where the first question
    began, now stands inside that question, and stays, as it does in Meta's code.

    Args:
        dialog: A list of dicts with "role" and "content": a "system" message or none, then "user"
            and "assistant" in turn, a "user" last.
        tokenizer: ``tokenizer.encode(text, bos=True, eos=False)`` is a list of ids.

    Returns:
        The ids of the whole dialog, a list of int.
    """
    contents = [message["content"] for message in dialog]
    if dialog[0]["role"] == "system":
        system, question, *rest = contents
        contents = [f"<<SYS>>\n{system}\n<</SYS>>\n\n{question}", *rest]
    ids = []
    for i in range(0, len(contents), 2):
        text = f"[INST] {contents[i].strip()} [/INST]"
        answered = i + 1 < len(contents)
        if answered:
            text += f" {contents[i + 1].strip()} "
        ids += tokenizer.encode(text, bos=True, eos=answered)
    return ids


def min_p(logits, m):
    """Keep each token that is at least m times as likely as the likeliest.

    Args:
        logits: float[V], in any order.
        m: A number above 0, at most 1. With 1, the likeliest stays, and all that equal it.

    Returns:
        float[V]: the logits, each in its own place, minus infinity where they were dropped. A new
        tensor.
    """
    return logits.masked_fill(logits < logits.max() + math.log(m), -torch.inf)


def penalised(logits, used, theta):
    """Make the tokens of a text less likely.

    A used token's logit is divided by theta if it is above 0, and otherwise multiplied by theta:
    once, however often the token stands in the text.

    Args:
        logits: float[V].
        used: The ids of the text, a list of int, at least one; an id may stand there repeatedly.
        theta: A number above 1.

    Returns:
        float[V]: the logits, changed where a token was used. A new tensor.
    """
    now = logits[used]  # (len(used),)
    lower = torch.where(now > 0, now / theta, now * theta)
    return logits.scatter(0, torch.tensor(used), lower)


@torch.no_grad()
def beam_search(model, ids, width, n):
    """The likeliest text that beam search finds: of each length, keep the best few.

    Begin with the prompt alone. In each step extend every text that you have by every token, and
    keep the ``width`` extended texts with the largest sums of log-probabilities. Only new
    tokens count towards the sums.

    Args:
        model: ``model(tokens)`` takes int[B, T] and gives logits, float[B, T, V].
        ids: The prompt, a list of int.
        width: How many texts stay after each step, an int, at most V.
        n: How many tokens to write, an int.

    Returns:
        The n new ids of the best text, a list of int, and their sum of log-probabilities, a float.
    """
    beams, totals = torch.tensor([ids]), torch.zeros(1)
    for _ in range(n):
        logs = model(beams)[:, -1].log_softmax(-1)  # (B, V)
        all_totals = totals[:, None] + logs  # (B, V)
        totals, best = all_totals.flatten().topk(width)  # (width,) each
        parents, new = best // logs.shape[-1], best % logs.shape[-1]
        beams = torch.cat((beams[parents], new[:, None]), dim=1)  # (width, T + 1)
    return beams[0, len(ids) :].tolist(), totals[0].item()


def draft_from(texts):
    """Make a draft that looks its guesses up: which token has followed two others most often?

    Args:
        texts: A list of lists of ids. Each is a text of its own.

    Returns:
        A function ``draft(ids, n)``: the n tokens that it guesses after ids, a list of at least two
        int, as a list of int. A guess is the token that has followed the last two most often in
        the texts; of equally frequent ones, that which followed them first. A guess then counts
        as text: the next one is made after it. After two tokens that never stood side by side with
        a third after them, it guesses 1, Llama's BOS.
    """
    follows = {}
    for text in texts:
        for a, b, c in zip(text, text[1:], text[2:], strict=False):
            counts = follows.setdefault((a, b), {})
            counts[c] = counts.get(c, 0) + 1

    def draft(ids, n):
        guessed = list(ids)
        for _ in range(n):
            counts = follows.get(tuple(guessed[-2:]), {1: 1})
            guessed.append(max(counts, key=counts.get))
        return guessed[len(ids) :]

    return draft


def trimmed(dialog, tokenizer, room):
    """Drop the oldest turns of a dialog until its ids fit.

    A question goes together with its answer. A system message stays, and so does the last question.

    Args:
        dialog: As encode_dialog takes it.
        tokenizer: Likewise.
        room: How many ids there may be, counted in what encode_dialog makes of the dialog.

    Returns:
        The dialog that is left, a list of messages; the one that was given stays as it is.

    Raises:
        ValueError: Even the system message and the last question take more.
    """
    system = dialog[0]["role"] == "system"
    while (needed := len(encode_dialog(dialog, tokenizer))) > room:
        if len(dialog) < system + 3:
            raise ValueError(f"the last question takes {needed} of {room}")
        dialog = dialog[:system] + dialog[system + 2 :]
    return dialog
