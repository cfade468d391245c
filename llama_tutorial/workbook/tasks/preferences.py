"""The tasks of the chapter on preferences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_tutorial.workbook.task import Bug, Case, Task


def _normal(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=draw)


def _mask(*spans: tuple[int, int], of: int) -> Tensor:
    """A row for each span: True from its first position to the one before its end."""
    places = torch.arange(of)
    return torch.stack([(places >= first) & (places < end) for first, end in spans])


def _learned(answer: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A loss, and the gradient of its first argument: two losses may be equal and learn unlike."""
    first = args[0].detach().clone().requires_grad_()
    loss = answer(first, *args[1:], **kwargs)
    if not isinstance(loss, Tensor):
        return {"the loss": loss}
    found = {"the loss": loss.detach()}
    if loss.ndim == 0 and loss.requires_grad:
        (found["the gradient of the first argument"],) = torch.autograd.grad(loss, first)
    return found


# sequence_logprobs


def _logprob_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 7, (2, 8), generator=draw)
    sure = 200 * F.one_hot(torch.tensor([[3, 1, 4, 1, 5]]), 7).float()
    return [
        Case("one row", _normal(1, 1, 5, 7), ids[:1, :5], _mask((2, 5), of=5)),
        Case(
            "two rows, of which one is padded",
            _normal(2, 2, 8, 7),
            ids,
            _mask((3, 8), (2, 5), of=8),
        ),
        Case("a model that is sure of itself", sure, ids[:1, :5], _mask((1, 4), of=5)),
    ]


# reward_loss and dpo_loss


def _reward_cases() -> list[Case]:
    chosen, rejected = _normal(3, 4), _normal(4, 4)
    far = torch.tensor([-150.0, 2.0])
    return [
        Case("one pair", chosen[:1], rejected[:1]),
        Case("four pairs", chosen, rejected),
        Case("a margin for all pairs", chosen, rejected, 1.0),
        Case("a margin for each pair", chosen, rejected, torch.tensor([0.0, 1 / 3, 2 / 3, 1])),
        Case("a pair that is far off", far, torch.tensor([150.0, 1.0])),
    ]


def _dpo_cases() -> list[Case]:
    chosen, rejected = -4 + _normal(5, 4), -6 + _normal(6, 4)
    before = chosen + _normal(7, 4), rejected + _normal(8, 4)
    far = torch.tensor([-900.0, -3.0]), torch.tensor([-2.0, -5.0])
    return [
        Case("a policy that is the reference", chosen[:1], rejected[:1], chosen[:1], rejected[:1]),
        Case("one pair", chosen[:1], rejected[:1], before[0][:1], before[1][:1]),
        Case("four pairs, beta 0.5", chosen, rejected, *before, beta=0.5),
        Case("a pair that is far off, beta 1", *far, far[1], far[1] - 1, beta=1.0),
    ]


# best_of


def _best_cases() -> list[Case]:
    rewards = [0.5, -1.0, 2.0, 0.25, 1.5, -0.5]
    return [
        Case("the best of 2 of 3 answers", [1.0, 3.0, 2.0], 2),
        Case("the best of 1 of 6", rewards, 1),
        Case("the best of 3 of 6", rewards, 3),
        Case("the best of 6 of 6", rewards, 6),
        Case("rewards that are 0 or 1", [1.0, 0.0, 0.0, 1.0, 0.0], 2),
    ]


def _with_replacement(rewards: list[float], n: int) -> float:
    """The mean of the best of n draws from these k answers, each of which can come again."""
    ordered, k = sorted(rewards), len(rewards)
    shares = [((i + 1) / k) ** n - (i / k) ** n for i in range(k)]
    return sum(share * reward for share, reward in zip(shares, ordered, strict=True))


def _in_groups(rewards: list[float], n: int) -> float:
    """The mean of the bests of the first n, the next n, and so on."""
    bests = [max(rewards[i : i + n]) for i in range(0, len(rewards) - n + 1, n)]
    return sum(bests) / len(bests)


def _every_value_once(rewards: list[float], n: int) -> float:
    import math

    ordered = sorted(set(rewards))
    n = min(n, len(ordered))
    total = sum(math.comb(i, n - 1) * reward for i, reward in enumerate(ordered))
    return total / math.comb(len(ordered), n)


# token_rewards and clipped_loss


def _token_cases() -> list[Case]:
    rewards = torch.tensor([1.0, 4.0, 2.5])
    policy, reference = -_normal(9, 3, 6).abs(), -_normal(10, 3, 6).abs()
    mask = _mask((1, 4), (2, 6), (0, 3), of=6)
    return [
        Case("without a cost", rewards[:2], policy[:2], reference[:2], mask[:2], 0.0),
        Case("three answers", rewards, policy, reference, mask),
        Case("a heavy cost", rewards, policy, reference, mask, 0.5),
    ]


def _cost_at_the_end(
    rewards: Tensor, logprobs: Tensor, reference: Tensor, mask: Tensor, kl: float = 0.01
) -> Tensor:
    """The whole of an answer's KL at its last token."""
    centred = rewards - rewards.mean()
    white = centred / centred.square().mean().sqrt()
    difference = torch.where(mask, logprobs - reference, 0.0).sum(1)
    found = torch.zeros_like(logprobs)
    last = mask.shape[1] - 1 - mask.flip(1).long().argmax(1)
    found[torch.arange(len(found)), last] = white - kl * difference
    return found


def _clip_cases() -> list[Case]:
    old = -_normal(11, 3, 4).abs() - 1
    up, down = torch.tensor([[0.5, -0.1]]), torch.tensor([[-0.5, 0.1]])
    better, all_of_it = torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool)
    return [
        Case("the policy that drew", old[:1], old[:1], _normal(12, 1, 4), _mask((1, 3), of=4)),
        Case(
            "better than expected, and likelier", old[:1, :2] + up, old[:1, :2], better, all_of_it
        ),
        Case("worse, and likelier", old[:1, :2] + up, old[:1, :2], -better, all_of_it),
        Case("better, and less likely", old[:1, :2] + down, old[:1, :2], better, all_of_it),
        Case("worse, and less likely", old[:1, :2] + down, old[:1, :2], -better, all_of_it),
        Case(
            "three answers",
            old + _normal(13, 3, 4, scale=0.3),
            old,
            _normal(14, 3, 4),
            _mask((0, 4), (1, 3), (2, 3), of=4),
            0.1,
        ),
    ]


# doubting_loss and shorter_wins


def _doubt_cases() -> list[Case]:
    return [
        Case("one pair, a tenth of all choices wrong", torch.tensor([1.5]), 0.1),
        Case("four pairs, a quarter wrong", _normal(20, 4, scale=2.0), 0.25),
        Case("no choice wrong", _normal(21, 3), 0.0),
        Case("two pairs that are far off", torch.tensor([200.0, -200.0]), 0.1),
    ]


def _pair(chosen: str, rejected: str) -> dict[str, Any]:
    return {"request": "Tell a story.", "chosen": chosen, "rejected": rejected, "grade": 1}


def _length_cases() -> list[Case]:
    longer = _pair("Mia found a red kite on the beach.", "Mia found a kite.")
    level = _pair("Tom lost a cap.", "Tom had a ball.")
    long_words = _pair("Grandmother straightened everything.", "He is at the sea.")
    lines = _pair("Mia\nhad\na\nkite.", "Mia was sad.")
    return [
        Case("one pair", [_pair("Tom ran home.", "Tom ran to the lake and sat down.")]),
        Case("four pairs, one of them of equal length", [level, longer, long_words, longer]),
        Case("three pairs, one of them with line breaks", [lines, long_words, longer]),
    ]


TASKS = [
    Task(
        "preferences.sequence_logprobs",
        cases=_logprob_cases,
        bugs=[
            Bug(
                "everything_counted",
                edit=("torch.where(mask[:, 1:], found, 0.0)", "found"),
                says="You count every token: the prompt's too, and the padding's.",
                effect="Prompt and answer are one text then. The prompt's part is the same in both "
                "answers, so that the difference hides it; what the padding adds is noise.",
                look="What does the mask say about the tokens that the model only reads?",
            ),
            Bug(
                "not_shifted",
                edit=("logits[:, :-1]", "logits[:, 1:]"),
                says="You read each token's probability at its own position. By then the model has "
                "seen it.",
                effect="The number is about the token after, and DPO raises what nobody wrote.",
                look="At which position does the model say what it expects at position 3?",
            ),
            Bug(
                "mask_not_shifted",
                edit=("mask[:, 1:]", "mask[:, :-1]"),
                says="The tokens are shifted and the mask is not: the answer's first token is left "
                "out, and the one after its EOS is counted.",
                effect="An answer's first word often decides. It is the one that is not learned.",
                look="Which columns of the mask belong to the columns of found?",
            ),
            Bug(
                "eos_outside",
                edit=("torch.where(mask[:, 1:],", "torch.where((mask & mask.roll(-1, 1))[:, 1:],"),
                says="The last token of each answer, its EOS, is not counted.",
                effect="An answer that stops too soon cannot be told from one that goes on, and "
                "nothing is learned of where to end.",
                look="What ends an answer, and does it have a probability?",
            ),
            Bug(
                "mean_for_sum",
                edit=(".sum(-1)  # (B,)", ".sum(-1) / mask.sum(-1)"),
                says="You take the mean over an answer's tokens. The answer's log-probability is "
                "their sum.",
                effect="Rewards shrink by the length: with answers of ten tokens, beta 0.1 does "
                "what 0.01 should.",
                look="What is the probability of two tokens in a row?",
            ),
            Bug(
                "one_number",
                edit=(".sum(-1)  # (B,)", ".sum()"),
                says="You sum over the rows as well.",
                effect="A pair cannot be told from the next.",
                look="How many answers are there?",
            ),
            Bug(
                "logits_summed",
                edit=(".log_softmax(-1)", ""),
                says="You sum logits. They are log-probabilities only after log_softmax.",
                effect="A model that raises all its logits seems to prefer every answer.",
                look="What must a model's probabilities add up to?",
            ),
            Bug(
                "log_of_softmax",
                edit=(".log_softmax(-1)", ".softmax(-1).log()"),
                says="You take the logarithm of a softmax: a small probability was rounded to 0 "
                "before.",
                effect="The loss is infinite as soon as a model is sure of itself.",
                look="What is the logarithm of e to the power of -200, in float32?",
            ),
            Bug(
                "costs",
                edit=("return torch", "return -torch"),
                says="Your sign is a loss's. A log-probability is never above 0.",
                effect="The preferred answer becomes the less likely one.",
                look="What is the logarithm of a probability of one half?",
            ),
        ],
        hints=[
            "The logits at a position are about the next token: drop the last ones, and the first "
            "token.",
            "log_softmax over the vocabulary, then gather at the tokens' ids.",
            "Logits without the last position, ids and mask without the first; zeros outside the "
            "mask, and a sum over each row.",
        ],
        minutes=8,
        page="#dpo-the-policy-is-its-own-reward-model",
        teaches="An answer's log-probability is a sum over its own tokens, EOS included.",
    ),
    Task(
        "preferences.reward_loss",
        cases=_reward_cases,
        use=_learned,
        bugs=[
            Bug(
                "pairs_swapped",
                edit=("chosen - rejected", "rejected - chosen"),
                says="Your pairs are swapped: the rejected answer's reward rises.",
                effect="It learns to prefer what people did not. The loss falls all the same.",
                look="Which of the two rewards should grow?",
            ),
            Bug(
                "margin_added",
                edit=("- margin", "+ margin"),
                says="Your margin has the wrong sign.",
                effect="The clearer a preference is, the less of it has to be learned.",
                look="If the rewards differ by exactly the margin, what should the loss be?",
            ),
            Bug(
                "margin_outside",
                edit=(
                    "-F.logsigmoid(chosen - rejected - margin).mean()",
                    "(margin - F.logsigmoid(chosen - rejected)).mean()",
                ),
                says="Your margin is outside the sigmoid, where it is a number that has no "
                "gradient.",
                effect="The loss is larger, and what is learned is as without a margin.",
                look="What does the margin change about the gradient?",
            ),
            Bug(
                "margin_forgotten",
                edit=(" - margin", ""),
                says="You leave the margin out.",
                effect="An answer that is far better has to be only just better.",
                look="Which of the arguments do you never use?",
            ),
            Bug(
                "log_of_sigmoid",
                edit=(
                    "F.logsigmoid(chosen - rejected - margin)",
                    "torch.sigmoid(chosen - rejected - margin).log()",
                ),
                says="You take the logarithm of a sigmoid, which is 0 where a reward is far below "
                "the other.",
                effect="One pair that is far off, and loss and weights are not finite.",
                look="What is the sigmoid of -300 in float32? torch has a function for both.",
            ),
            Bug(
                "sum_for_mean",
                edit=(".mean()", ".sum()"),
                says="You sum over the pairs. The loss is their mean.",
                effect="The learning rate grows with the batch.",
                look="What should the loss of a batch be in which every pair is the same?",
            ),
            Bug(
                "no_logarithm",
                edit=(
                    "-F.logsigmoid(chosen - rejected - margin)",
                    "torch.sigmoid(rejected - chosen + margin)",
                ),
                says="Yours is the probability of the wrong choice, without a logarithm.",
                effect="Where the model is most wrong, the gradient is nearly 0.",
                look="What is the loss of a pair of which the model is surely wrong?",
            ),
            Bug(
                "hinge",
                edit=(
                    "-F.logsigmoid(chosen - rejected - margin)",
                    "F.relu(margin - chosen + rejected)",
                ),
                says="Yours is a hinge: nothing is left to learn once the margin is kept.",
                effect="It ranks about as well; but a difference of rewards is no longer a "
                "probability.",
                look="What is the loss if both rewards are equal?",
            ),
        ],
        hints=[
            "The more the preferred answer is above the other, the less there is to learn.",
            "The margin lowers the difference before the sigmoid.",
            "`F.logsigmoid` of chosen less rejected less margin; its sign, and a mean.",
        ],
        minutes=5,
        page="#a-model-that-grades-answers",
        teaches="To compare is to classify: which of the two, by the difference of two numbers.",
    ),
    Task(
        "preferences.dpo_loss",
        cases=_dpo_cases,
        use=_learned,
        bugs=[
            Bug(
                "reference_forgotten",
                edit=("policy_chosen - reference_chosen", "policy_chosen"),
                more=(("policy_rejected - reference_rejected", "policy_rejected"),),
                says="Your rewards leave out the reference.",
                effect="A pair that the model always got right counts as learned, and nothing "
                "says how far it has gone from where it began.",
                look="What is the loss before the first step, when the policy is the reference?",
            ),
            Bug(
                "pairs_swapped",
                edit=("(chosen - rejected)", "(rejected - chosen)"),
                says="Your pairs are swapped: the rejected answer becomes likelier.",
                effect="It learns the mistakes by heart. The loss falls all the same.",
                look="Which of the two answers should become likelier?",
            ),
            Bug(
                "beta_outside",
                edit=(
                    "-F.logsigmoid(beta * (chosen - rejected))",
                    "-beta * F.logsigmoid(chosen - rejected)",
                ),
                says="Your beta multiplies the loss, not the difference.",
                effect="That is beta 1 with a small learning rate: each pair is let go of after a "
                "few nats.",
                look="What is the loss, whatever beta is, when the policy is the reference?",
            ),
            Bug(
                "beta_on_the_policy",
                edit=(
                    "policy_chosen - reference_chosen",
                    "beta * policy_chosen - reference_chosen",
                ),
                more=(
                    (
                        "policy_rejected - reference_rejected",
                        "beta * policy_rejected - reference_rejected",
                    ),
                    ("F.logsigmoid(beta * (chosen - rejected))", "F.logsigmoid(chosen - rejected)"),
                ),
                says="Your beta multiplies the policy's log-probabilities alone.",
                effect="The loss does not begin at log 2, and the reference counts ten times too "
                "much.",
                look="Of what is an answer's reward beta times?",
            ),
            Bug(
                "divided_by_beta",
                edit=("beta * (chosen - rejected)", "(chosen - rejected) / beta"),
                says="You divide by beta.",
                effect="The smaller beta is, the sooner a pair counts as learned: the policy "
                "hardly moves.",
                look="Should a smaller beta let the policy go further, or less far?",
            ),
            Bug(
                "reference_added",
                edit=("policy_chosen - reference_chosen", "policy_chosen + reference_chosen"),
                more=(
                    (
                        "policy_rejected - reference_rejected",
                        "policy_rejected + reference_rejected",
                    ),
                ),
                says="The reference has the wrong sign in yours: you add it, or you compare each "
                "answer with the other one's.",
                effect="The loss is that of another model before the first step, and where it "
                "stands tells nothing.",
                look="What is the logarithm of a ratio? Which two numbers are about one answer?",
            ),
            Bug(
                "log_of_sigmoid",
                edit=(
                    "F.logsigmoid(beta * (chosen - rejected))",
                    "torch.sigmoid(beta * (chosen - rejected)).log()",
                ),
                says="You take the logarithm of a sigmoid, which is 0 where a pair is far off.",
                effect="Sums over long answers are large: one such pair, and nothing is finite.",
                look="What is the sigmoid of -900 in float32? torch has a function for both.",
            ),
            Bug(
                "mean_inside",
                edit=(
                    "F.logsigmoid(beta * (chosen - rejected)).mean()",
                    "F.logsigmoid((beta * (chosen - rejected)).mean())",
                ),
                says="You take the mean before the sigmoid: of the rewards, not of the losses.",
                effect="Every pair pulls equally, those that are learned and those that are not.",
                look="How many losses does a batch of four pairs have?",
            ),
            Bug(
                "sum_for_mean",
                edit=(".mean()", ".sum()"),
                says="You sum over the pairs. The loss is their mean.",
                effect="The learning rate grows with the batch.",
                look="What should the loss of a batch be in which every pair is the same?",
            ),
        ],
        hints=[
            "Two rewards, one for each answer: by how much has it become likelier?",
            "A ratio's logarithm is a difference of logarithms; beta multiplies what comes out.",
            "Two differences, policy less reference; their difference times beta; the loss of a "
            "reward model.",
        ],
        minutes=8,
        page="#dpo-the-policy-is-its-own-reward-model",
        teaches="The policy is its own reward model: what counts is how far it is from where it "
        "began.",
    ),
    Task(
        "preferences.best_of",
        cases=_best_cases,
        bugs=[
            Bug(
                "with_replacement",
                wrong=_with_replacement,
                says="In your choices an answer can come twice.",
                effect="The curve is too low, most of all where n is near k.",
                look="What is the best of 6 of 6 answers?",
            ),
            Bug(
                "in_groups",
                wrong=_in_groups,
                says="You cut the answers into groups of n. That is right in the mean, but it "
                "depends on their order, and the rest that fills no group is lost.",
                effect="The same answers give a curve that is much more uneven.",
                look="How many choices of 2 are there among 3 answers?",
            ),
            Bug(
                "first_n",
                edit=(
                    "ordered = sorted(rewards)",
                    "return float(max(rewards[:n]))\n    ordered = sorted(rewards)",
                ),
                says="You take the best of the first n and leave out all others.",
                effect="It is one draw, where all answers together could have said more.",
                look="What happens to your result if the rewards come in another order?",
            ),
            Bug(
                "best_of_all",
                edit=(
                    "ordered = sorted(rewards)",
                    "return float(max(rewards))\n    ordered = sorted(rewards)",
                ),
                says="You take the best of all, whatever n is.",
                effect="One answer seems to be as good as the best of sixty-four.",
                look="What is the best of 1?",
            ),
            Bug(
                "worst_of_n",
                edit=("sorted(rewards)", "sorted(rewards, reverse=True)"),
                says="Yours is the worst of n.",
                effect="The curve falls.",
                look="For which answer are there most choices in which it is the best?",
            ),
            Bug(
                "one_off",
                edit=("math.comb(i, n - 1)", "math.comb(i + 1, n)"),
                says="You count the choices among an answer and those below it. It has to be one "
                "of the chosen.",
                effect="The sum of all weights is above 1, and so is the reward's mean.",
                look="What do the counts of all answers add up to?",
            ),
            Bug(
                "every_value_once",
                wrong=_every_value_once,
                says="Equal rewards count once.",
                effect="Where a reward is 0 or 1, an answer that is rare seems as common as one "
                "that is not.",
                look="How many answers are there in the last case?",
            ),
        ],
        hints=[
            "Sort the rewards. Each answer is the best of some choices: of how many?",
            "If it is the best, the other n - 1 are among those below it.",
            "A sum of rewards, each times a number of choices; over the number of all choices.",
        ],
        minutes=12,
        page="#the-best-of-64-chosen-by-a-judge",
        teaches="K answers say what the best of every n up to K would bring, without a draw more.",
    ),
    Task(
        "preferences.token_rewards",
        cases=_token_cases,
        bugs=[
            Bug(
                "kl_sign",
                edit=("-kl * (logprobs", "kl * (logprobs"),
                says="Your cost is a gift: the further a token is from the reference, the more it "
                "gets.",
                effect="The policy runs away from where it began, and soon writes no language.",
                look="Which tokens should be paid for: those that have become likelier, or others?",
            ),
            Bug(
                "not_whitened",
                edit=("+= white", "+= rewards"),
                says="You give the reward as it is. It is whitened over the batch first.",
                effect="How strong the cost is then depends on what the reward model calls a lot.",
                look="What should the mean of the rewards be?",
            ),
            Bug(
                "only_centred",
                edit=("centred / centred.square().mean().sqrt()", "centred"),
                says="Your rewards have the mean 0, and still their old spread.",
                effect="A reward model that is twice as loud is followed twice as far.",
                look="What should the variance of the rewards be?",
            ),
            Bug(
                "only_scaled",
                edit=("white = centred /", "white = rewards /"),
                says="Your rewards have the variance 1, and still their old mean.",
                effect="Where all rewards are above 0, each answer is called good.",
                look="What should the mean of the rewards be?",
            ),
            Bug(
                "spread_of_a_sample",
                edit=("centred.square().mean().sqrt()", "centred.std()"),
                says="You divide by n - 1, as .std() does unless it is told not to. The variance "
                "here is the mean of the squares.",
                effect="The rewards are a little small, in a batch of two by a third.",
                look="What is the variance of two rewards, 1 and 4?",
            ),
            Bug(
                "at_every_token",
                edit=(
                    "found[torch.arange(len(found)), last] += white",
                    "found = found + torch.where(mask, white[:, None], 0.0)",
                ),
                says="Every token gets the answer's reward.",
                effect="The longer a good answer is, the better: it learns to talk.",
                look="When is it known how good the answer is?",
            ),
            Bug(
                "at_the_end_of_the_row",
                edit=("T - 1 - mask.flip(1).long().argmax(1)", "T - 1"),
                says="The reward stands in the last column, which in some rows is padding.",
                effect="Short answers get nothing, good or bad.",
                look="Where does the first answer of the first case end?",
            ),
            Bug(
                "cost_of_everything",
                edit=(
                    "torch.where(mask, -kl * (logprobs - reference_logprobs), 0.0)",
                    "-kl * (logprobs - reference_logprobs)",
                ),
                says="Prompt and padding pay as well.",
                effect="It pays for what it did not write.",
                look="What should stand where the mask is False?",
            ),
            Bug(
                "cost_at_the_end",
                wrong=_cost_at_the_end,
                says="The whole cost falls at the last token. It falls token by token.",
                effect="The sum is right, but no token learns what it cost.",
                look="What should the first token of an answer get?",
            ),
        ],
        hints=[
            "Two parts: a cost at every token of the answer, and a reward at the last.",
            "Subtract the mean, then divide by the root of the mean square.",
            "The last token of a row: turn the mask around, and argmax finds its first True.",
        ],
        minutes=12,
        page="#deeper-ppo-in-forty-lines",
        teaches="The reward comes at the end, and what it costs to get there at every token.",
    ),
    Task(
        "preferences.clipped_loss",
        cases=_clip_cases,
        use=_learned,
        bugs=[
            Bug(
                "larger_of_the_two",
                edit=("torch.minimum", "torch.maximum"),
                says="You take the larger of the two products.",
                effect="What goes wrong is cut off, and what goes well has no end: it is the "
                "clip turned around.",
                look="Which of the two says less about how good the change is?",
            ),
            Bug(
                "not_clipped",
                edit=("cut * advantages", "ratio * advantages"),
                says="Nothing is clipped.",
                effect="After a few updates on the same answers, a few tokens have all the weight.",
                look="What is gained by a ratio of 10?",
            ),
            Bug(
                "always_clipped",
                edit=(
                    "torch.minimum(ratio * advantages, cut * advantages)",
                    "cut * advantages",
                ),
                says="You clip the ratio and forget the other product.",
                effect="A token that went the wrong way, too far, has no gradient that would "
                "bring it back.",
                look="A token was worse than expected, and is likelier now. Should it stay so?",
            ),
            Bug(
                "clipped_above",
                edit=("ratio.clamp(1 - clip, 1 + clip)", "ratio.clamp(max=1 + clip)"),
                says="You clip above only.",
                effect="What was worse than expected is pushed down without end.",
                look="What is gained by making a bad token less likely still?",
            ),
            Bug(
                "no_exponential",
                edit=("(logprobs - old_logprobs).exp()", "(logprobs - old_logprobs)"),
                says="Your ratio is the logarithm of one.",
                effect="It begins at 0, which is below the range, where half the gradients vanish.",
                look="What is the ratio if the policy is the one that drew?",
            ),
            Bug(
                "ratio_turned",
                edit=("logprobs - old_logprobs", "old_logprobs - logprobs"),
                says="Your ratio is upside down.",
                effect="What was good becomes less likely.",
                look="A token has become likelier. Is its ratio above 1?",
            ),
            Bug(
                "gain_for_loss",
                edit=("-gain", "gain"),
                says="That is what should grow. A loss has the other sign.",
                effect="What was good becomes less likely.",
                look="Does an optimiser make its number larger or smaller?",
            ),
            Bug(
                "everything_counted",
                edit=("gain[mask]", "gain"),
                says="Tokens outside the mask count.",
                effect="It learns from the prompt and the padding, which it did not write.",
                look="Over how many tokens is the mean?",
            ),
            Bug(
                "zeros_counted",
                edit=("gain[mask]", "torch.where(mask, gain, 0.0)"),
                says="You take the mean over all places, with zeros outside the mask.",
                effect="A batch with one long answer and many short ones learns more slowly.",
                look="Over how many tokens is the mean?",
            ),
        ],
        hints=[
            "The ratio of two probabilities is the exponential of a difference.",
            "Two products with the advantage, and the smaller one of them, token by token.",
            "`clamp` takes both ends of the range. Pick the tokens of the mask before the mean.",
        ],
        minutes=8,
        page="#deeper-ppo-in-forty-lines",
        teaches="Going too far is not rewarded; coming back from it always is.",
    ),
    Task(
        "preferences.doubting_loss",
        cases=_doubt_cases,
        extra=True,
        bugs=[
            Bug(
                "inside_the_logarithm",
                edit=(
                    "-(1 - epsilon) * right - epsilon * wrong",
                    "-((1 - epsilon) * right.exp() + epsilon * wrong.exp()).log()",
                ),
                says="You take the mean of the two probabilities, and then the logarithm. It is "
                "the two losses whose mean is expected.",
                effect="Another loss, without a minimum: it still falls as the margin grows.",
                look="What is multiplied by 1 - epsilon: a probability, or a loss?",
            ),
            Bug(
                "smaller_margin",
                edit=(
                    "-(1 - epsilon) * right - epsilon * wrong",
                    "-F.logsigmoid((1 - 2 * epsilon) * margin)",
                ),
                says="You take the mean of the two margins, and the loss of that. It is the two "
                "losses whose mean is expected.",
                effect="It learns more slowly, and its margin grows for ever all the same.",
                look="At which margin is your loss the smallest?",
            ),
            Bug(
                "shares_exchanged",
                edit=(
                    "-(1 - epsilon) * right - epsilon * wrong",
                    "-epsilon * right - (1 - epsilon) * wrong",
                ),
                says="Your shares are exchanged: the pair as it stands has epsilon.",
                effect="With a tenth of wrong labels, it learns as if nine tenths were wrong.",
                look="How many of the choices are right?",
            ),
            Bug(
                "wrong_ones_left_out",
                edit=(" - epsilon * wrong", ""),
                says="The wrong choices are missing: you only make the loss smaller.",
                effect="The same as a smaller learning rate. The margin grows for ever.",
                look="What is the loss of a pair whose choice was wrong?",
            ),
            Bug(
                "subtracted",
                edit=("right - epsilon * wrong", "right + epsilon * wrong"),
                says="You subtract the loss of the pair turned round. It is added.",
                effect="Doubt makes it push harder: the loss falls without end.",
                look="Which sign has the logarithm of a probability?",
            ),
            Bug(
                "noise_taken_out",
                edit=(
                    "-(1 - epsilon) * right - epsilon * wrong",
                    "(-(1 - epsilon) * right + epsilon * wrong) / (1 - 2 * epsilon)",
                ),
                says="You estimate the loss that there would be without wrong choices, as robust "
                "DPO does. Asked for is the one that is expected with them.",
                effect="It is right on average, and a single pair's loss can fall below 0, without "
                "end.",
                look="Should a loss that is a mean of two losses ever be negative?",
            ),
            Bug(
                "not_finite",
                edit=(
                    "F.logsigmoid(margin), F.logsigmoid(-margin)",
                    "margin.sigmoid().log(), (-margin).sigmoid().log()",
                ),
                says="Where the margin is large, your loss is infinite: one of the two sigmoids is "
                "0 in float32, and you take its logarithm.",
                effect="A single pair makes infinity of the batch's loss, and NaN of the gradient.",
                look="What is `torch.tensor(-200.0).sigmoid().log()`?",
            ),
            Bug(
                "gain_for_loss",
                edit=(
                    "-(1 - epsilon) * right - epsilon * wrong",
                    "(1 - epsilon) * right + epsilon * wrong",
                ),
                says="That is what should grow. A loss has the other sign.",
                effect="The policy learns to prefer what was rejected.",
                look="Does an optimiser make its number larger or smaller?",
            ),
            Bug(
                "one_number",
                edit=("- epsilon * wrong", "- epsilon * wrong).mean()"),
                more=(("return -(", "return (-("),),
                says="You take the mean over the pairs. Each pair's own loss is asked for.",
                effect="Nobody can see any more at which margin the loss is the smallest.",
                look="How many numbers are there for four pairs?",
            ),
        ],
        hints=[
            "Turned round, a pair with the margin 2 has the margin -2.",
            "There is a function in torch.nn.functional that is exact where the logarithm of a "
            "sigmoid is not.",
            "Two losses, each minus a log-sigmoid: of the margin, and of minus the margin. Each is "
            "multiplied by its share.",
        ],
        minutes=5,
        page="#ex-preferences-noise",
        teaches="If a share of the labels may be wrong, the loss is least at a finite margin.",
    ),
    Task(
        "preferences.shorter_wins",
        cases=_length_cases,
        extra=True,
        bugs=[
            Bug(
                "characters",
                edit=(
                    'len(pair["chosen"].split()) < len(pair["rejected"].split())',
                    'len(pair["chosen"]) < len(pair["rejected"])',
                ),
                says="You count characters. Length is in words here.",
                effect="Of the recorded pairs, some that are shorter in characters are not shorter "
                "in words: your share is too high.",
                look="What is the `len` of a string?",
            ),
            Bug(
                "single_spaces",
                edit=(
                    'len(pair["chosen"].split()) < len(pair["rejected"].split())',
                    'len(pair["chosen"].split(" ")) < len(pair["rejected"].split(" "))',
                ),
                says="You split at single spaces, so that two words with a line break between them "
                "count as one.",
                effect="Answers with paragraphs or lists seem shorter than they are.",
                look="Where does `split` cut if it is given nothing?",
            ),
            Bug(
                "longer",
                edit=(".split()) <", ".split()) >"),
                says="You count the pairs whose chosen answer is the longer one.",
                effect="A judge that likes brevity would be taken for one that likes talk.",
                look="In the first case, which of the two answers is shorter?",
            ),
            Bug(
                "ties_won",
                edit=(".split()) <", ".split()) <="),
                says="Pairs of equal length count, too. In those there is no shorter answer.",
                effect="A judge of length is credited with choices that it cannot make.",
                look="How long are the two answers of the first pair in the second case?",
            ),
            Bug(
                "ties_half",
                edit=(
                    "sum(won) / len(pairs)",
                    "(sum(won) + sum(len(p['chosen'].split()) == len(p['rejected'].split()) "
                    "for p in pairs) / 2) / len(pairs)",
                ),
                says="You count half of each pair of equal length, as for a judge who tosses a "
                "coin. Here, they do not count as won.",
                effect="A share that is a little too high.",
                look="What does the docstring say of equally long answers?",
            ),
            Bug(
                "ties_left_out",
                edit=(
                    "/ len(pairs)",
                    "/ sum(len(p['chosen'].split()) != len(p['rejected'].split()) for p in pairs)",
                ),
                says="You leave pairs of equal length out. They are not won, and they are pairs.",
                effect="Where many answers have one length, the share says little about all.",
                look="By which number do you divide in the second case?",
            ),
            Bug(
                "not_divided",
                edit=("sum(won) / len(pairs)", "sum(won)"),
                says="That is how many pairs there are, not which share of them.",
                effect="A hundred of 160 and a hundred of a thousand look the same.",
                look="How large can a share be?",
            ),
            Bug(
                "percent",
                edit=("sum(won) / len(pairs)", "100 * sum(won) / len(pairs)"),
                says="Those are percent. A share lies between 0 and 1.",
                effect="Printed as a percentage, it has two zeros too many.",
                look="What is the share if the shorter answer wins in every pair?",
            ),
        ],
        hints=[
            "For each pair, one question that has yes or no for an answer.",
            "`text.split()` is a list of words.",
            "True counts as 1 in a sum: add the answers up, and divide by how many there are.",
        ],
        minutes=3,
        page="#ex-preferences-length",
        teaches="Before you trust a judge, see how far a reward as simple as length would come.",
    ),
]
