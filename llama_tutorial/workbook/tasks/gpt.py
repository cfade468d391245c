"""The tasks of the chapter on GPT."""

from __future__ import annotations

from typing import Any

import torch

from llama_tutorial.workbook.task import Bug, Case, Task


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _layer_norm_cases() -> list[Case]:
    x, ones, zeros = _draw(2, 5, 8) + 1, torch.ones(8), torch.zeros(8)
    weight, bias = _draw(8, seed=1), _draw(8, seed=2)
    return [
        Case("one vector, with weights of 1", x[0, :1], ones, zeros),
        Case("two rows of five vectors", x, weight, bias),
        Case("vectors of which eps is a large part", 1e-3 * x, weight, bias),
        Case("an eps of 0.5", x, weight, bias, 0.5),
        Case("a vector of equal numbers", torch.full((1, 8), 3.0), weight, bias),
    ]


def _attention_cases() -> list[Case]:
    q, k = _draw(2, 3, 5, 4), _draw(2, 3, 5, 4, seed=1)  # (B, H, T, h)
    return [
        Case("one query and one key", q[0, 0, :1], k[0, 0, :1]),
        Case("five queries and keys", q[0, 0], k[0, 0]),
        Case("two texts, three heads", q, k),
        Case("scores of some hundreds", 20 * q, 20 * k),
    ]


def _loss_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(3)
    logits, tokens = 2 * _draw(2, 6, 7), torch.randint(7, (2, 6), generator=draw)
    return [
        Case("a blind guess, all logits 0", torch.zeros(1, 4, 5), torch.tensor([[0, 1, 2, 3]])),
        Case("one text of six tokens", logits[:1], tokens[:1]),
        Case("two texts", logits, tokens),
        Case("logits of some hundreds", 200 * logits, tokens),
    ]


def _probability_cases() -> list[Case]:
    logits = torch.tensor([2.0, -1.0, 0.5, 1.5])
    return [
        Case("temperature 1", logits, 1.0),
        Case("temperature 0.5", logits, 0.5),
        Case("temperature 2", logits, 2.0),
        Case("no temperature given, which is 1", logits),
        Case("logits of some hundreds", 300 * logits, 0.7),
        Case("temperature 0", logits, 0.0),
        Case("temperature 0, and two logits are the largest", torch.tensor([1.0, 3.0, 3.0]), 0),
    ]


def _toy_model(tokens: torch.Tensor) -> torch.Tensor:
    """Says the sum of all tokens so far, modulo 11: it needs the whole text."""
    sums = tokens.cumsum(-1) * 3 % 11  # (B, T)
    return torch.nn.functional.one_hot(sums, 11).float()


def _likeliest(logits: torch.Tensor) -> int:
    return int(logits.argmax())


def _generate_cases() -> list[Case]:
    # 4, 5 say 5, 9, 3, 1, 4, 5, ...
    return [
        Case("one new token", _toy_model, [4, 5], 1, _likeliest),
        Case("five new tokens", _toy_model, [4, 5], 5, _likeliest),
        Case("no new token", _toy_model, [4, 5], 0, _likeliest),
        Case("a stop id that comes third", _toy_model, [4, 5], 5, _likeliest, 3),
        Case("a stop id that does not come", _toy_model, [4, 5], 5, _likeliest, 2),
        Case("a stop id of 0, which comes at once", _toy_model, [5, 6], 3, _likeliest, 0),
    ]


def _draws_as_it_should(answer: Any) -> str | None:
    """``choose`` decides, and sees one position's logits."""
    seen: list[Any] = []

    def always_seven(logits: torch.Tensor) -> int:
        seen.append(tuple(logits.shape))
        return 7

    if answer(_toy_model, [1], 3, always_seven) != [7, 7, 7] or set(seen) != {(11,)}:
        return (
            "A `choose` that always says 7 should make you write [7, 7, 7], and it should be given "
            f"the logits of one position, of shape (11,). It got {seen[:1]}."
        )
    return None


def _waiting_model() -> Any:
    from llama_tutorial.config import PRESETS
    from llama_tutorial.model import Transformer
    from llama_tutorial.workbook.tasks._models import filled

    sizes = {"dim": 8, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2}
    config = PRESETS["gpt2"].replace(**sizes, hidden_dim=16, vocab_size=7, max_seq_len=8)
    return filled(Transformer(config))


def _use_ablation(losses_without: Any, seed: int) -> dict[str, Any]:
    """The losses, and whether the model is what it was."""
    model = _waiting_model()
    tokens = torch.randint(7, (3, 6), generator=torch.Generator().manual_seed(seed))

    def loss(some_model: Any) -> float:
        with torch.no_grad():
            logits = some_model(tokens[:, :-1])
        return float(torch.nn.functional.cross_entropy(logits.mT, tokens[:, 1:]))

    found = losses_without(model, loss)
    return {"what is returned": found, "the loss of the given model afterwards": loss(model)}


def _ablation_cases() -> list[Case]:
    return [
        Case("a model of two blocks", 0),
        Case("the same model on another text", 1),
    ]


TASKS = [
    Task(
        "gpt.layer_norm",
        cases=_layer_norm_cases,
        bugs=[
            Bug(
                "sample_variance",
                edit=("centred.pow(2).mean(-1, keepdim=True)", "x.var(-1, keepdim=True)"),
                says="Your variance is divided by D - 1. That is the estimate from a sample, and "
                "what var() and std() of torch do unless they are told otherwise.",
                effect="All vectors become a little shorter than in training: a checkpoint runs, "
                "and is a little worse.",
                look="How does torch.var divide?",
            ),
            Bug(
                "eps_outside",
                edit=("torch.sqrt(variance + eps)", "(torch.sqrt(variance) + eps)"),
                says="You add eps to the root; it belongs under it.",
                museum=False,
                effect="It matters only where a vector is about as small as eps.",
                look="What is eps added to?",
            ),
            Bug(
                "no_eps",
                edit=("variance + eps", "variance"),
                says="Your eps is not used. A vector of equal numbers has the variance 0, and 0 is "
                "divided by 0.",
                effect="Nothing, until a vector is constant, and then everything is NaN.",
                look="What keeps the root away from 0?",
            ),
            Bug(
                "wrong_axis",
                edit=("x - x.mean(-1, keepdim=True)", "x - x.mean(-2, keepdim=True)"),
                says="Your mean is taken over the positions. Each vector has a mean of its own, "
                "over its features.",
                effect="Later words leak into the norm of earlier ones: training looks too good.",
                look="Which axis is which in (..., T, D)?",
            ),
            Bug(
                "no_centre",
                edit=("x - x.mean(-1, keepdim=True)", "x"),
                says="The mean is still there: you divide, and do not subtract. That is RMSNorm, "
                "two chapters early.",
                effect="For GPT's weights, one direction of each vector is not taken out.",
                look="What is the mean of your result, with weights of 1?",
            ),
            Bug(
                "not_rooted",
                edit=("torch.sqrt(variance + eps)", "(variance + eps)"),
                says="You divide by the variance; it is the square of what you want.",
                effect="Long vectors become short, and short ones long.",
                look="What is the variance of your result?",
            ),
            Bug(
                "over_all_axes",
                edit=("x - x.mean(-1, keepdim=True)", "x - x.mean()"),
                more=(("centred.pow(2).mean(-1, keepdim=True)", "centred.pow(2).mean()"),),
                says="You take one mean and one variance of the whole tensor. Each vector has its "
                "own.",
                effect="How a word is read depends on all other words, later ones as well, and on "
                "the other texts of the batch.",
                look="How many means are there for x of shape (2, 5, 8)?",
            ),
            Bug(
                "bias_first",
                wrong=lambda x, weight, bias, eps=1e-5: (
                    (torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps) + bias) * weight
                ),
                says="You shift first and scale afterwards, so the weight scales the bias, too.",
                effect="The biases of a checkpoint mean something else.",
                look="Scale, then shift.",
            ),
        ],
        hints=[
            "Two statistics of each vector: its mean, and the mean of the squares of what is left.",
            "mean(-1, keepdim=True) keeps the axis, so that it can be subtracted from x.",
            "Centre; take the mean of the squares; divide by the root of that and eps; then the "
            "weight, then the bias.",
        ],
        minutes=8,
        page="#a-norm-for-the-size-a-nonlinearity-for-new-features",
        teaches="A part that reads the stream need not care how large it has become.",
    ),
    Task(
        "gpt.attention_weights",
        cases=_attention_cases,
        bugs=[
            Bug(
                "no_scale",
                edit=(" / math.sqrt(h)", ""),
                says="Your scores are not divided by the root of the head's width.",
                look="How large is a sum of h products?",
            ),
            Bug(
                "softmax_over_queries",
                edit=(".softmax(-1)", ".softmax(-2)"),
                says="Your softmax runs over the queries: the columns sum to 1, and the rows "
                "should.",
                effect="What one word takes home depends on what later words ask for.",
                look="Which axis has the keys?",
            ),
            Bug(
                "mask_too_far",
                edit=(".triu(1)", ".triu(2)"),
                says="Your mask is one too far: each query sees the key just after its own "
                "position.",
                effect="In training the model copies the answer from the next word and learns "
                "nothing; when it writes, there is no next word.",
                look="Where does the diagonal of triu begin?",
            ),
            Bug(
                "mask_too_near",
                edit=(".triu(1)", ".triu(0)"),
                says="Your mask hides a query's own position, too. The first query then sees "
                "nothing at all: NaN.",
                effect="Everything is NaN at once.",
                look="Does a query see its own key?",
            ),
            Bug(
                "mask_too_near_finite",
                edit=(".triu(1)", ".triu(0)"),
                more=(("-math.inf", "-1e9"),),
                says="Your mask hides a query's own position, too. The first query then sees "
                "nothing, and with -1e9 in place of minus infinity it looks at all keys alike.",
                effect="A word cannot look at itself, and the first one looks into the future.",
                look="Does a query see its own key?",
            ),
            Bug(
                "no_mask",
                edit=("scores.masked_fill(later, -math.inf)", "scores"),
                says="There is no mask: every query sees all keys, later ones as well.",
                effect="The training loss falls to almost nothing, and the model cannot write.",
                look="What may the first query see?",
            ),
            Bug(
                "mask_mirrored",
                edit=(".triu(1)", ".tril(-1)"),
                says="Your mask is mirrored: each query sees its own key and the later ones only.",
                effect="The model reads the future and not the past.",
                look="Rows are queries, columns are keys: which triangle is the future?",
            ),
            Bug(
                "masked_with_zero",
                edit=("masked_fill(later, -math.inf)", "masked_fill(later, 0.0)"),
                says="Your masked scores are 0. But e⁰ is 1: a masked key still gets a weight.",
                effect="Every word looks a little into the future.",
                look="Which score gets the weight 0 from a softmax?",
            ),
            Bug(
                "scaled_by_h",
                edit=("/ math.sqrt(h)", "/ h"),
                says="You divide the scores by the width of the head, not by its root.",
                effect="All scores are too small, and attention is spread too evenly.",
                look="What is the spread of a sum of h products?",
            ),
            Bug(
                "scaled_by_positions",
                edit=("/ math.sqrt(h)", "/ math.sqrt(T)"),
                says="You divide the scores by the root of T, the number of positions. It is h, "
                "the width of the head.",
                effect="The longer a text, the more evenly attention is spread.",
                look="Over what does the dot product of a query and a key sum?",
            ),
            Bug(
                "mask_after_softmax",
                wrong=lambda q, k: (
                    (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).tril()  # no row sums to 1
                ),
                says="You mask after the softmax: the later keys have weight 0, but they took "
                "their share before, and the rows no longer sum to 1.",
                effect="Early words carry home too little, and how little tells of the future.",
                look="What do the rows sum to?",
            ),
        ],
        hints=[
            "All scores at once are one matrix product of q and k, with the last two axes of k "
            "exchanged.",
            "A mask of True above the diagonal is torch.ones(T, T, dtype=torch.bool).triu(1).",
            "masked_fill puts minus infinity where the mask is True; then the softmax over the "
            "last axis.",
        ],
        minutes=12,
        page="#one-head-ask-be-found-hand-over",
        teaches="Attention is a softmax over the past, and its rows sum to 1.",
    ),
    Task(
        "gpt.next_token_loss",
        cases=_loss_cases,
        bugs=[
            Bug(
                "not_shifted",
                edit=("logits[:, :-1], tokens[:, 1:]", "logits, tokens"),
                says="You compare the logits at a position with the token at that same position, "
                "which the model has just read.",
                effect="It learns to repeat its input: the loss falls to 0, and the model writes "
                "one word again and again.",
                look="Which token is the answer to the question at position 0?",
            ),
            Bug(
                "shifted_twice",
                edit=("logits[:, :-1], tokens[:, 1:]", "logits[:, :-2], tokens[:, 2:]"),
                says="Your targets are shifted twice: the model is to guess the token after the "
                "next one.",
                effect="It learns to leave out every other word.",
                look="How far is the target from the position that guesses it?",
            ),
            Bug(
                "shifted_back",
                edit=("logits[:, :-1], tokens[:, 1:]", "logits[:, 1:], tokens[:, :-1]"),
                says="You shift the other way: the model is asked for the token before.",
                effect="It has read that token already, and learns to look it up.",
                look="Which end of the logits has nothing to be compared with?",
            ),
            Bug(
                "summed",
                edit=(".mean()", ".sum()"),
                says="You return the sum over all tokens, not the mean.",
                effect="The gradient grows with the batch, and so does every step.",
                look="What should a blind guess among 5 cost?",
            ),
            Bug(
                "sign",
                edit=("-log_p", "log_p"),
                says="The sign is missing: your loss is negative, and falls as the model gets "
                "worse.",
                effect="Training drives the model away from the text.",
                look="Is ln p above 0 or below?",
            ),
            Bug(
                "no_max",
                edit=(
                    "guesses.log_softmax(-1)",
                    "guesses - guesses.exp().sum(-1, keepdim=True).log()",
                ),
                says="Your e^z overflows: from about 89 on it is infinite in float32.",
                effect="Training runs well, and one day the loss is inf.",
                look="A softmax stays the same if you subtract one number from all logits.",
            ),
            Bug(
                "softmax_twice",
                edit=("guesses.log_softmax(-1)", "guesses.softmax(-1).log_softmax(-1)"),
                says="You take the softmax of a softmax. cross_entropy takes logits as they are.",
                effect="The loss cannot fall far: even a model that is sure is taken for one that "
                "guesses.",
                look="How often do you turn logits into probabilities?",
            ),
            Bug(
                "rolled",
                edit=("logits[:, :-1], tokens[:, 1:]", "logits, tokens.roll(-1, 1)"),
                says="The last position is asked for the text's first token: roll brings it round.",
                effect="One target in T is nonsense, and no curve complains.",
                look="Which token comes after the last one?",
            ),
            Bug(
                "axes_by_reshape",
                wrong=lambda logits, tokens: torch.nn.functional.cross_entropy(
                    logits[:, :-1].reshape(len(logits), logits.shape[2], -1), tokens[:, 1:]
                ),
                says="You reshape the logits to (B, V, T). That gives the right shape, and numbers "
                "of different tokens in each row.",
                effect="The loss hardly falls, and nothing says why.",
                look="Which call of torch exchanges two axes?",
            ),
            Bug(
                "bits",
                edit=(".mean()", ".mean() / math.log(2)"),
                says="Your loss is in bits; it should be in nats.",
                effect="None, but all losses are 1.44 times those of others.",
                look="To which base is the logarithm?",
            ),
            Bug(
                "summed_by_text",
                edit=(".mean()", ".squeeze(-1).sum(-1).mean()"),
                says="You sum over the tokens of a text and take the mean over the texts.",
                effect="Long texts count for more, and the loss is not in nats per token.",
                look="What should a blind guess among 5 cost?",
            ),
        ],
        hints=[
            "Cut one position off the logits and one off the tokens, at different ends.",
            "log_softmax(-1) turns logits into ln p without an overflow. You need one number of "
            "each row: the one of the target.",
            "gather picks by index and wants an index of as many axes; cross_entropy of torch does "
            "it all, but it wants the axis of the vocabulary second.",
        ],
        minutes=10,
        page="#a-cafe-where-you-have-to-listen",
        teaches="Knowing costs 0, and a blind guess among k costs ln k.",
    ),
    Task(
        "gpt.probabilities",
        cases=_probability_cases,
        bugs=[
            Bug(
                "multiplied",
                edit=("logits / temperature", "logits * temperature"),
                says="You multiply by the temperature. So a high one makes the likely tokens "
                "likelier.",
                effect="A temperature of 0.6 makes it babble.",
                look="What happens to the logits when the temperature falls towards 0?",
            ),
            Bug(
                "after_softmax",
                edit=("(logits / temperature).softmax(-1)", "logits.softmax(-1) / temperature"),
                says="You divide the probabilities, not the logits: they no longer sum to 1, and "
                "none has become likelier than another.",
                effect="The temperature does nothing.",
                look="Does the division come before the softmax or after it?",
            ),
            Bug(
                "no_temperature",
                edit=("(logits / temperature)", "logits"),
                says="Your temperature does nothing, except at 0.",
                effect="The model writes at temperature 1 whatever is asked for.",
                look="Where do you use it?",
            ),
            Bug(
                "no_max",
                edit=(
                    "(logits / temperature).softmax(-1)",
                    "(e := (logits / temperature).exp()) / e.sum(-1)",
                ),
                says="Your e^z overflows: infinity divided by infinity is NaN.",
                effect="A model that is very sure of itself breaks down.",
                look="A softmax stays the same if you subtract one number from all logits.",
            ),
            Bug(
                "zero_divides",
                edit=("if temperature == 0:", "if temperature is None:"),
                says="At temperature 0 you divide by 0.",
                effect="temperature=0 is what everyone asks for who wants the same text twice.",
                look="Which distribution does a softmax approach as the temperature falls?",
            ),
        ],
        hints=[
            "One division before a softmax, and one case of its own.",
            "softmax(-1) of torch does not overflow. Temperature 0 cannot be divided by.",
            "At 0: zeros, and a 1 at argmax.",
        ],
        minutes=5,
        page="#ask-for-one-word-append-it-ask-again",
        teaches="The temperature scales the logits, and a softmax sees differences only.",
    ),
    Task(
        "gpt.generate",
        cases=_generate_cases,
        properties=[_draws_as_it_should],
        bugs=[
            Bug(
                "last_token_only",
                edit=("torch.tensor([ids + new])", "torch.tensor([(ids + new)[-1:]])"),
                says="You give the model the last token only. Without a cache it then knows "
                "nothing of the text before.",
                effect="It writes like a table of word pairs.",
                look="What does the model need to know what comes next?",
            ),
            Bug(
                "first_position",
                edit=("[0, -1]", "[0, 0]"),
                says="You take the logits at the first position: the guess about the second token, "
                "which is there already.",
                effect="It writes the same word for ever.",
                look="Which position guesses the next token?",
            ),
            Bug(
                "prompt_only",
                edit=("ids + new", "ids"),
                says="You ask the model about the same text each time, without what it has "
                "written.",
                effect="It writes one word again and again.",
                look="What is the text when the second token is chosen?",
            ),
            Bug(
                "prompt_returned",
                edit=("return new", "return ids + new"),
                says="You return the beginning as well; only the new ids are wanted.",
                effect="A chat answers each question by repeating it.",
                look="What is in the list that you return?",
            ),
            Bug(
                "stop_kept",
                edit=(
                    "if token == stop:\n            break\n        new.append(token)",
                    "new.append(token)\n        if token == stop:\n            break",
                ),
                says="The stop id is in your result. It ends the text and is no part of it.",
                effect="Texts end in a mark that nobody should see.",
                look="When do you check whether it is the stop id?",
            ),
            Bug(
                "stop_0_ignored",
                edit=("if token == stop:", "if stop and token == stop:"),
                says="A stop id of 0 does not stop you: 0 counts as false, like None.",
                effect="Nothing, until a vocabulary has its EOS at 0, as Pythia's has.",
                look="What is `if stop` for stop = 0, and for None?",
            ),
            Bug(
                "stop_ignored",
                edit=("if token == stop:", "if False:"),
                says="You go on writing after the stop id.",
                effect="After its answer, a chat model asks itself the next question.",
                look="What is stop for?",
            ),
            Bug(
                "one_too_many",
                edit=("len(new) < n_new", "len(new) <= n_new"),
                says="You write one token too many.",
                effect="A context that is just long enough overflows.",
                look="How often does your loop run for n_new = 0?",
            ),
        ],
        hints=[
            "A loop that runs n_new times at most, and a list that grows.",
            "torch.tensor([a list]) has the shape (1, T) that the model wants. The last position's "
            "logits are [0, -1] of its output.",
            "ids + new makes a new list; ids.append(...) would change the one that you were given.",
        ],
        minutes=8,
        page="#ask-for-one-word-append-it-ask-again",
        teaches="A language model writes one token at a time, and reads all of them each time.",
    ),
    Task(
        "gpt.losses_without",
        cases=_ablation_cases,
        use=_use_ablation,
        bugs=[
            Bug(
                "bias_left",
                edit=(
                    "for parameter in writer.parameters():\n"
                    "                nn.init.zeros_(parameter)",
                    "nn.init.zeros_(writer.weight)",
                ),
                says="A bias goes on writing: you silence the matrix alone.",
                effect="The part still adds the same vector at every position. What it costs to be "
                "without it comes out too small.",
                look="Which parameters does a Linear layer have?",
            ),
            Bug(
                "silent_before",
                edit=('("feed_forward", "w2")', '("feed_forward", "w1")'),
                says="In the feed-forward layer you silence w1. What writes to the stream is w2, "
                "and it still adds its bias.",
                effect="The part still adds the same vector at every position.",
                look="Which of its two matrices comes last?",
            ),
            Bug(
                "adds_up",
                edit=("without = {}", "without, silenced = {}, copy.deepcopy(model)"),
                more=(("            silenced = copy.deepcopy(model)\n", ""),),
                says="Your parts stay silent: from the second loss on, all those before are "
                "missing, too.",
                effect="The last part seems to be worth the whole model.",
                look="How many models do you make, and when?",
            ),
            Bug(
                "model_silenced",
                edit=("copy.deepcopy(model)", "model"),
                says="You silence the model that you were given: one part after another is lost, "
                "and never comes back.",
                effect="Whoever goes on with it has a model in which no block writes.",
                look="What does `silenced = model` make?",
            ),
            Bug(
                "differences",
                edit=("= loss(silenced)", "= loss(silenced) - loss(model)"),
                says="You give what the loss gains; asked for is the loss itself.",
                effect="A difference does not show how close to a blind guess the model has come.",
                look="What does the docstring call the numbers?",
            ),
            Bug(
                "whole_block",
                edit=("in writer.parameters()", "in silenced.layers[number].parameters()"),
                says="You silence a whole block each time: both of its parts.",
                effect="Attention and feed-forward layer of a block seem to be worth the same.",
                look="How many parts does a block have, and how many are to be silent?",
            ),
        ],
        hints=[
            "Two loops, one in the other: over the blocks, and over the two parts.",
            "A fresh copy for each pair. In it, two tensors become zeros: a weight and a bias.",
            "`writer.parameters()` of a Linear layer goes through both of them.",
        ],
        minutes=8,
        page="#ex-gpt-ablate",
        teaches="If silencing a part costs nothing, the model does not use it.",
        extra=True,
    ),
]
