"""What is learned from two answers, one of them preferred; and from one answer and its reward."""

import math

import torch
from torch.nn import functional as F


def sequence_logprobs(logits, ids, mask):
    """The log-probability of each row's answer: the sum over its tokens, in nats.

    Args:
        logits: float[B, T, V]. What stands at a position is about the token after it.
        ids: The tokens, int64[B, T]: prompt, answer, padding. Nothing is shifted yet.
        mask: bool[B, T]: where an answer's tokens stand, the EOS that ends it among them. Never at
            the first position.

    Returns:
        float[B].
    """
    logs = logits[:, :-1].log_softmax(-1)  # (B, T-1, V)
    found = logs.gather(-1, ids[:, 1:, None])[..., 0]  # (B, T-1)
    return torch.where(mask[:, 1:], found, 0.0).sum(-1)  # (B,)


def reward_loss(chosen, rejected, margin=0.0):
    """The loss of a reward model: the mean of -log sigmoid(chosen - rejected - margin).

    It is exact, and finite, where a reward is hundreds below the other.

    Args:
        chosen: Rewards of the answers that were preferred, float[B].
        rejected: Rewards of the other answers to the same prompts, float[B].
        margin: By how much they should differ: a number, or float[B].

    Returns:
        A scalar.
    """
    return -F.logsigmoid(chosen - rejected - margin).mean()


def dpo_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, *, beta=0.1):
    """The loss of DPO.

    An answer's reward is beta times its log-probability by the policy minus that by the reference;
    of these rewards, the loss is a reward model's, without a margin.

    Args:
        policy_chosen: Log-probabilities of the answers that were preferred, by the model that
            learns, float[B].
        policy_rejected: Of the other answers, by the same model, float[B].
        reference_chosen: Of the former, by the model that it began as, float[B].
        reference_rejected: Of the latter, by that one, float[B].
        beta: A number above 0.

    Returns:
        A scalar; log 2 where the policy is the reference.
    """
    chosen = policy_chosen - reference_chosen
    rejected = policy_rejected - reference_rejected
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


def best_of(rewards, n):
    """The mean reward of the best of n answers, estimated from more than n.

    It is the mean over every choice of n of the given answers. Of k answers there are
    math.comb(k, n) choices; the best is the one with i answers below it in math.comb(i, n - 1).

    Args:
        rewards: A list of k numbers: rewards of answers to one prompt. Some may be equal.
        n: An int from 1 to k.

    Returns:
        A float.
    """
    ordered = sorted(rewards)
    total = sum(math.comb(i, n - 1) * reward for i, reward in enumerate(ordered))
    return total / math.comb(len(ordered), n)


def token_rewards(rewards, logprobs, reference_logprobs, mask, kl=0.01):
    """What PPO rewards each token with.

    Every token of an answer costs kl times its log-probability minus that by the reference. An
    answer's last token also gets the answer's reward, whitened: shifted and scaled, so that over
    the batch the mean is 0 and the variance (the mean of the squares) 1.

    Args:
        rewards: Of the answers, float[B]; not all equal.
        logprobs: Of the tokens, by the policy, float[B, T].
        reference_logprobs: Of the tokens, by the reference, float[B, T].
        mask: Where the tokens of answers are, bool[B, T]: side by side, at least one in each row.
        kl: The weight of the cost.

    Returns:
        float[B, T]; 0 where the mask is False.
    """
    centred = rewards - rewards.mean()
    white = centred / centred.square().mean().sqrt()  # (B,)
    found = torch.where(mask, -kl * (logprobs - reference_logprobs), 0.0)  # (B, T)
    T = mask.shape[1]
    last = T - 1 - mask.flip(1).long().argmax(1)  # (B,)
    found[torch.arange(len(found)), last] += white
    return found


def clipped_loss(logprobs, old_logprobs, advantages, mask, clip=0.2):
    """PPO's clipped loss, a mean over the tokens of answers.

    A token's ratio is its probability over what it was when the token was drawn. What is to grow is
    the smaller of two products with the advantage: the ratio's, and that of the ratio brought into
    the range from 1 - clip to 1 + clip.

    Args:
        logprobs: Of the tokens, by the policy as it is, float[B, T].
        old_logprobs: By the policy that drew them, float[B, T].
        advantages: Of the tokens, float[B, T].
        mask: Which of them are the answers', bool[B, T].
        clip: How far from 1 a ratio is rewarded.

    Returns:
        A scalar.
    """
    ratio = (logprobs - old_logprobs).exp()
    cut = ratio.clamp(1 - clip, 1 + clip)
    gain = torch.minimum(ratio * advantages, cut * advantages)
    return -gain[mask].mean()


def doubting_loss(margin, epsilon):
    """The loss that is expected of a pair if some of the choices are wrong; pair by pair.

    A pair's loss is -log sigmoid(margin). Had its two answers been exchanged, its margin would have
    the other sign. Add up both losses: that of the pair as it stands times 1 - epsilon, the other
    times epsilon. It is exact, and finite, where a margin is in the hundreds.

    Args:
        margin: Reward of the chosen answer minus that of the rejected one, float[B].
        epsilon: The share of wrong choices, a number from 0 to 0.5.

    Returns:
        float[B].
    """
    right, wrong = F.logsigmoid(margin), F.logsigmoid(-margin)  # (B,) each
    return -(1 - epsilon) * right - epsilon * wrong


def shorter_wins(pairs):
    """In what share of the pairs the chosen answer is the shorter one.

    Length is counted in words, which are what white space separates. Where both answers are equally
    long, the shorter one has not won, since there is none.

    Args:
        pairs: A list of dicts, at least one. Each has two texts, "chosen" and "rejected", and
            perhaps more.

    Returns:
        A float from 0 to 1.
    """
    won = [len(pair["chosen"].split()) < len(pair["rejected"].split()) for pair in pairs]
    return sum(won) / len(pairs)
