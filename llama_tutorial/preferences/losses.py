r"""The two losses of preferences, and the log-probability of an answer that one of them is made of.

Of two answers to one prompt, somebody prefers one: the *chosen* :math:`y_c` over the *rejected*
:math:`y_r`. Both losses are minus the log-likelihood of that choice in the model of Bradley and
Terry, which says how likely one of two is preferred, given how good each is.

A **reward model** gives each answer a number and learns these (Llama 2, equation 2):

.. math:: \mathcal L = -\log \sigma\big(r(x, y_c) - r(x, y_r) - m\big)

where the margin :math:`m` is larger for answers that differ more (section 3.2.2; table 27).

**DPO** has no reward model. The best policy for a reward, held near the reference by KL, has that
reward in itself: :math:`\beta \log \pi(y|x) / \pi_\mathrm{ref}(y|x)`, up to a number that depends
on the prompt alone and cancels in a difference (Rafailov et al., equation 7):

.. math::
    \hat r(x, y) &= \beta \log \frac{\pi(y|x)}{\pi_\mathrm{ref}(y|x)} \\
    \mathcal L &= -\log \sigma\big(\hat r(x, y_c) - \hat r(x, y_r)\big)

Source: Touvron et al. (2023), "Llama 2"; Rafailov et al. (2023), "Direct Preference Optimization"
(Llama 2 did not have it, Llama 3 did); Bradley and Terry (1952).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from llama_tutorial._util.labels import IGNORE
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.model import Transformer

MARGINS = {"none": (0.0, 0.0, 0.0, 0.0), "small": (0, 1 / 3, 2 / 3, 1), "large": (0, 1, 2, 3)}
"""The margin of each grade, from 0 ("negligibly better, or unsure") over 1 ("slightly better") and
2 ("better") to 3 ("significantly better"): table 27 of the paper, which trained with either."""


def reward_loss(
    chosen: Float[Tensor, " B"],
    rejected: Float[Tensor, " B"],
    margin: Float[Tensor, " B"] | float | int = 0.0,
) -> Float[Tensor, ""]:
    """The loss of a reward model: the mean of ``-log sigmoid(chosen - rejected - margin)``.

    Args:
        chosen: Rewards of the answers that were preferred.
        rejected: Rewards of the others, to the same prompts.
        margin: By how much the reward must differ before a pair counts as learned, for all pairs
            or for each (`MARGINS`).
    """
    return -F.logsigmoid(chosen - rejected - margin).mean()


def dpo_loss(
    policy_chosen: Float[Tensor, " B"],
    policy_rejected: Float[Tensor, " B"],
    reference_chosen: Float[Tensor, " B"],
    reference_rejected: Float[Tensor, " B"],
    *,
    beta: float | int = 0.1,
) -> Float[Tensor, ""]:
    """The loss of direct preference optimisation: log 2 where the policy is the reference.

    Each argument holds log-probabilities of whole answers, as `sequence_logprobs` gives them, in
    nats; those of the reference have no gradient.

    Args:
        policy_chosen: Of the answers that were preferred, by the model that learns.
        policy_rejected: Of the others, by the same.
        reference_chosen: Of the former, by the model that it began as.
        reference_rejected: Of the latter.
        beta: How strongly the policy is held to the reference; smaller lets it go further.

    Raises:
        ValueError: ``beta`` is not above 0.
    """
    if not beta > 0:
        raise ValueError(f"beta={beta}: must be above 0; without it nothing holds the policy")
    chosen = implicit_reward(policy_chosen, reference_chosen, beta)
    rejected = implicit_reward(policy_rejected, reference_rejected, beta)
    return reward_loss(chosen, rejected)


def implicit_reward(
    policy: Float[Tensor, " B"], reference: Float[Tensor, " B"], beta: float | int
) -> Float[Tensor, " B"]:
    """``beta`` times the difference: the reward that DPO's policy stands for, up to a constant."""
    return beta * (policy - reference)


def sequence_logprobs(
    model: Transformer, ids: Int[Tensor, "B T"], labels: Int[Tensor, "B T"]
) -> Float[Tensor, " B"]:
    """The log-probability of each row's answer: the sum over its tokens, EOS included, in nats.

    Args:
        model: The model.
        ids: Prompt and answer; what follows the answer may be anything.
        labels: The id where it belongs to the answer, -100 elsewhere; not shifted. As
            :func:`llama_tutorial.finetuning.examples.encode_example` makes them.
    """
    return token_logprobs(model(ids), labels).sum(-1)  # (B, T-1) -> (B,)


def token_logprobs(
    logits: Float[Tensor, "B T V"], labels: Int[Tensor, "B T"]
) -> Float[Tensor, "B S"]:
    """The log-probability of the token after each position, ``(B, T - 1)``; 0 where no label is."""
    logits, targets = logits[:, :-1], labels[:, 1:]
    summed = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORE, reduction="none")
    return -summed  # (B, T-1)
