"""From logits to text: cuts, draws, the loop, and the layout of a dialog."""

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
    white space at either end of a message is taken away. The last question has no answer, and so
    no EOS. A system message has no turn of its own: it stands before the first question, between
    ``<<SYS>>``, a line feed, and a line feed, ``<</SYS>>``, two line feeds.

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
