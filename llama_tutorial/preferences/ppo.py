r"""PPO: answers are drawn, judged by a reward, and made likelier or less likely than they were.

What is maximised is the reward of the policy's own answers, less what they cost in distance from
the reference (Llama 2, equations 3 and 4):

.. math::
    \tilde r(x, y) - \beta\, D_\mathrm{KL}\big(\pi(y|x)\,\|\,\pi_\mathrm{ref}(y|x)\big)

with rewards whitened to mean 0 and variance 1 over a batch. The penalty falls token by token, and
the whitened reward at the last token. A value head tells at each token how much is still to be
expected; what comes out better than that is the token's advantage :math:`A_t` (GAE). The update is
clipped, so that what was drawn once can be learned from without going too far:

.. math::
    \rho_t &= \frac{\pi(y_t)}{\pi_\mathrm{old}(y_t)} \\
    c_t &= \mathrm{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon) \\
    \mathcal L &= -\frac 1 N \sum_t \min\big(\rho_t A_t,\; c_t A_t\big)

Where :math:`\rho_t = 1`, its gradient is that of the policy gradient, :math:`-A_t \nabla \log \pi`.

Source: Touvron et al. (2023), "Llama 2", section 3.2.3; Schulman et al. (2017), "Proximal Policy
Optimization Algorithms", equation 7; Schulman et al. (2015), "High-Dimensional Continuous Control
Using Generalized Advantage Estimation", equation 16; the penalty by token is that of Ouyang et al.
(2022), "InstructGPT".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llama_tutorial._util.labels import IGNORE
from llama_tutorial._util.shapes import Bool, Float, Int
from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.finetuning.evaluation import Answer
from llama_tutorial.finetuning.packing import PADDING, shuffled_order
from llama_tutorial.generation import generate
from llama_tutorial.lora.adapters import adapters_off
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.losses import token_logprobs
from llama_tutorial.preferences.rejection import Reward, is_usable
from llama_tutorial.training.loop import Method, TrainConfig, measuring
from llama_tutorial.training.processes import all_reduce_sum, rank, world_size
from llama_tutorial.training.step import autocast_to, update_weights


def whiten(x: Float[Tensor, "*B"], mask: Bool[Tensor, "*B"] | None = None) -> Float[Tensor, "*B"]:
    """Shifted and scaled to mean 0 and variance 1; equal numbers become 0.

    Args:
        x: Any numbers.
        mask: Which of them count; the others become 0.
    """
    mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
    counted = x[mask]
    centred = counted - counted.mean()
    result = torch.zeros_like(x)
    result[mask] = centred / (centred.square().mean() + 1e-8).sqrt()
    return result


def advantages_of(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    gamma: float | int = 1.0,
    lam: float | int = 0.95,
) -> Float[Tensor, "B T"]:
    r"""Generalised advantage estimates of the tokens of answers.

    .. math::
        \delta_t &= r_t + \gamma V_{t+1} - V_t \\
        A_t &= \delta_t + \gamma \lambda A_{t+1}

    After an answer's last token, value and advantage are 0.

    Args:
        rewards: Of each token.
        values: What the value head expected before each.
        mask: Where the answer's tokens are: side by side in each row.
        gamma: Discount of what comes later; 1, as an answer is one act.
        lam: 0 trusts the value head alone, 1 what came alone.
    """
    found = torch.zeros_like(rewards)
    after = value_after = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * value_after - values[:, t]
        after = torch.where(mask[:, t], delta + gamma * lam * after, 0.0)
        value_after = torch.where(mask[:, t], values[:, t], 0.0)
        found[:, t] = after
    return found


def clipped_loss(
    logprobs: Float[Tensor, "B T"],
    old_logprobs: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    clip: float | int = 0.2,
) -> Float[Tensor, ""]:
    """PPO's clipped loss, summed over the tokens of ``mask``.

    Args:
        logprobs: Of the tokens, by the policy as it is.
        old_logprobs: By the policy that drew them.
        advantages: Of the tokens.
        mask: Which of them are the answers'.
        clip: How far the ratio of the two may go, to either side of 1, and still be rewarded.
    """
    ratio = (logprobs - old_logprobs).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    gain = torch.minimum(ratio * advantages, clipped * advantages)
    return -torch.where(mask, gain, 0.0).sum()


class _HeadAndValue(nn.Module):
    """An output head, and beside it one more output: the value."""

    def __init__(self, head: nn.Module, weight: Tensor, dim: int) -> None:
        super().__init__()
        self.head = head
        dtype = torch.promote_types(weight.dtype, torch.float32)
        self.value = nn.Linear(dim, 1, bias=False, device=weight.device, dtype=dtype)
        nn.init.zeros_(self.value.weight)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... W"]:
        """Logits and value, ``(..., V + 1)``."""
        logits, value = self.head(x), self.value(x.to(self.value.weight.dtype))
        return torch.cat((logits.to(value.dtype), value), -1)


class PolicyWithValue(Transformer):
    """A model with a value head, for PPO. Called as before it gives logits alone.

    ``model(tokens, values=True)`` gives ``(B, T, V + 1)``: the logits, and last the value.
    """

    @classmethod
    def of(cls, model: Transformer) -> PolicyWithValue:
        """The same modules, adapters and all, with a value head that says 0."""
        with torch.device("meta"):
            policy = cls(model.config)
        for name, module in model.named_children():
            setattr(policy, name, module)
        policy.output = _HeadAndValue(model.output, model.norm.weight, model.config.dim)
        return policy.train(model.training)

    def forward(self, *args: Any, values: bool = False, **settings: Any) -> Float[Tensor, "B _ W"]:
        """Logits, and with ``values`` the value after them."""
        both = super().forward(*args, **settings)
        return both if values else both[..., :-1]

    def without_value(self) -> PolicyWithValue:
        """The model with its own head again, to be saved; in place."""
        head: Any = self.output
        self.output = head.head
        return self


class PromptBatch(NamedTuple):
    """Prompts that a step draws answers to.

    Attributes:
        dialogs: Each ends with a question.
        prompts: Their ids.
        seed: Of the draws.
    """

    dialogs: list[Dialog]
    prompts: list[list[int]]
    seed: int

    @property
    def inputs(self) -> Int[Tensor, " n"]:
        """All ids, to be counted."""
        return torch.tensor([token for prompt in self.prompts for token in prompt])

    def to(self, _device: torch.device) -> PromptBatch:
        """Itself: ids of unequal length are no tensor."""
        return self


class Prompts:
    """Prompts in batches; the batch of a step is a pure function of the step.

    Args:
        dialogs: Each ends with a question.
        tokenizer: The model's.
        batch_size: Answers that a step draws.
        seed: Of the order and the draws.

    Raises:
        ValueError: There is no prompt, or fewer than two answers a step, which cannot be whitened.
    """

    def __init__(
        self, dialogs: Sequence[Dialog], tokenizer: AnyTokenizer, batch_size: int, seed: int = 0
    ) -> None:
        if not dialogs:
            raise ValueError("no prompt to draw answers to: the list is empty")
        if batch_size < 2:
            raise ValueError(f"batch_size={batch_size}: must be at least 2, to whiten the rewards")
        self.dialogs, self.batch_size, self.seed = list(dialogs), batch_size, seed
        self._ids = [encode_dialog(dialog, tokenizer) for dialog in dialogs]

    def batch(self, step: int) -> PromptBatch:
        """The batch of ``step``, counted from 1."""
        numbers = []
        for position in range((step - 1) * self.batch_size, step * self.batch_size):
            epoch, place = divmod(position, len(self._ids))
            numbers.append(int(shuffled_order(self.seed, epoch, len(self._ids))[place]))
        return self._of(numbers, step)

    def every_prompt(self) -> list[PromptBatch]:
        """Batches that together hold every prompt once, in order."""
        n = len(self._ids)
        starts = range(0, n, self.batch_size)
        return [self._of(range(i, min(i + self.batch_size, n)), -1 - i) for i in starts]

    def _of(self, numbers: Sequence[int], step: int) -> PromptBatch:
        seed = (self.seed * 1_000_003 + step) % 2**62
        return PromptBatch(
            [self.dialogs[i] for i in numbers], [self._ids[i] for i in numbers], seed
        )


class Rollout(NamedTuple):
    """Answers that were drawn, and what is known of them; token by token ``(B, S)``, S = T - 1.

    Attributes:
        ids: Prompts and answers, ``(B, T)``.
        mask: Which tokens are the answers', each at the place before it.
        old: Log-probabilities by the policy that drew them.
        reference: By the reference.
        values: What the value head expected.
        advantages: Whitened.
        returns: What the value head should have said.
    """

    ids: Int[Tensor, "B T"]
    mask: Bool[Tensor, "B S"]
    old: Float[Tensor, "B S"]
    reference: Float[Tensor, "B S"]
    values: Float[Tensor, "B S"]
    advantages: Float[Tensor, "B S"]
    returns: Float[Tensor, "B S"]

    def rows(self, numbers: Int[Tensor, " b"]) -> Rollout:
        """Some of the rows."""
        return Rollout(*(part[numbers.to(part.device)] for part in self))

    def micro_batches(self, n: int = 1) -> list[Rollout]:
        """The rows of this process in ``n`` parts; an empty one has one masked row instead."""
        total, first = world_size() * n, rank() * n
        numbers = torch.arange(len(self.ids)).tensor_split(total)
        parts = []
        for i in range(first, first + n):
            part = self.rows(numbers[i] if len(numbers[i]) else numbers[0][:1])
            empty = not len(numbers[i])
            parts.append(part._replace(mask=torch.zeros_like(part.mask)) if empty else part)
        return parts


@dataclass(frozen=True)
class PPOConfig:
    """The settings of PPO beside the loop's; the defaults are Llama 2's where it gives them.

    Args:
        kl: Weight of the KL penalty, beta.
        clip: How far a ratio may go from 1 and still be rewarded.
        mini_batches: Updates that a batch of answers is split into.
        epochs: How often each answer is learned from.
        gamma: Discount of what comes later.
        lam: GAE's lambda.
        value_weight: Weight of the value head's loss.
        max_new_tokens: Maximal length of an answer.

    Raises:
        ValueError: A number is out of range.
    """

    kl: float | int = 0.01
    clip: float | int = 0.2
    mini_batches: int = 8
    epochs: int = 1
    gamma: float | int = 1.0
    lam: float | int = 0.95
    value_weight: float | int = 0.1
    max_new_tokens: int = 24

    def __post_init__(self) -> None:
        for name in ("mini_batches", "epochs", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if not 0 <= self.kl < math.inf:
            raise ValueError(f"kl={self.kl}: must be 0 or above, and finite")
        if not 0 < self.clip < 1:
            raise ValueError(f"clip={self.clip}: must be between 0 and 1")


class PPO(Method):
    """The method ``"ppo"``: a step draws a batch of answers, judges them, and learns from them.

    It notes ``reward``, the mean of the answers' rewards before whitening; ``kl``, the mean over
    answers of the sum over tokens of log policy minus log reference, an estimate of the KL
    divergence from the policy to the reference, in nats an answer; ``clipped``, the share of tokens
    whose ratio was cut; ``ended``, that of answers that ended; and ``value_loss``.

    Args:
        tokenizer: The model's.
        reward: Judges dialogs with their answers.
        config: The settings.
        reference: A frozen copy of the model that it began as; None for a model with adapters,
            whose reference is the model without them.
    """

    shown = ("reward", "kl")

    def __init__(
        self,
        tokenizer: AnyTokenizer,
        reward: Reward,
        config: PPOConfig,
        reference: Transformer | None = None,
    ) -> None:
        self.tokenizer, self.reward, self.config = tokenizer, reward, config
        self.reference = reference

    @torch.no_grad()
    def start(self, model: Transformer, config: TrainConfig) -> None:
        """Run the model once outside of inference mode, in which `generate` runs it.

        A sharded model gathers weights into tensors that it makes at its first call, and could not
        be trained with those of inference mode.
        """
        with measuring(model), autocast_to(model.device, config.autocast_dtype):
            model(torch.zeros(1, 1, dtype=torch.int64, device=model.device))

    def step(
        self,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        batch: PromptBatch,
        config: TrainConfig,
        lr: float,
    ) -> dict[str, float]:
        """Draw, judge, and update the weights some times."""
        with autocast_to(model.device, config.autocast_dtype):
            rollout, noted = self.rollout(model, batch)
        totals = {"loss": 0.0, "grad_norm": 0.0, "clipped": 0.0, "value_loss": 0.0}
        ours, n_updates = self.config, 0
        for epoch in range(ours.epochs):
            order = torch.from_numpy(shuffled_order(batch.seed, epoch, len(rollout.ids)))
            for numbers in order.tensor_split(min(ours.mini_batches, len(order))):
                part = rollout.rows(numbers)
                sums = {"clipped": 0.0, "value_loss": 0.0}
                n = int(part.mask.sum())
                loss, norm = update_weights(
                    model,
                    optimizer,
                    part.micro_batches(min(config.micro_batches, len(numbers))),
                    partial(self._summed, model, sums=sums),
                    n,
                    lr=lr,
                    clip=config.clip,
                    autocast=config.autocast_dtype,
                )
                found = {name: all_reduce_sum(value) / n for name, value in sums.items()}
                for name, value in {"loss": loss, "grad_norm": norm, **found}.items():
                    totals[name] += value
                n_updates += 1
        return {name: value / n_updates for name, value in totals.items()} | noted

    def validate(
        self, model: Transformer, validation: Sequence[PromptBatch], config: TrainConfig
    ) -> dict[str, float]:
        """Reward and KL of answers to other prompts; the loss is minus what is maximised."""
        totals: dict[str, float] = {}
        for batch in validation:
            with measuring(model), autocast_to(model.device, config.autocast_dtype):
                _, noted = self.rollout(model, batch)
            for name, value in noted.items():
                totals[name] = totals.get(name, 0.0) + value * len(batch.prompts)
        n = sum(len(batch.prompts) for batch in validation)
        reward, kl = totals["reward"] / n, totals["kl"] / n
        found = {"validation_reward": reward, "validation_kl": kl}
        return {"validation_loss": self.config.kl * kl - reward, **found}

    @torch.no_grad()
    def rollout(self, model: Transformer, batch: PromptBatch) -> tuple[Rollout, dict[str, float]]:
        """Answers of the policy to a batch of prompts, judged; and what is noted of them.

        Every process draws all of them: they then have the same, and a sharded model must be called
        by all at the same time anyway.
        """
        ours, eos = self.config, self.tokenizer.eos_id
        drawn = generate(
            model,
            batch.prompts,
            ours.max_new_tokens,
            temperature=1.0,
            top_p=1.0,
            seed=batch.seed,
            stop_ids={eos},
        )
        ended = [len(ids) < ours.max_new_tokens for ids in drawn]
        answers = [ids + [eos] * end for ids, end in zip(drawn, ended, strict=True)]
        ids, labels = _padded(batch.prompts, answers)
        ids, labels = ids.to(model.device), labels.to(model.device)
        with measuring(model):
            both = model(ids, values=True)  # (B, T, V + 1)
            old, values = token_logprobs(both[..., :-1], labels), both[:, :-1, -1]
            with self._as_reference(model) as reference:
                reference_logprobs = token_logprobs(reference(ids), labels)
        mask = labels[:, 1:] != IGNORE
        values = torch.where(mask, values, 0.0)
        judged = self._judge(batch.dialogs, drawn, ended)
        rewards = -ours.kl * (old - reference_logprobs)  # (B, S)
        last = mask.long().cumsum(1).argmax(1)  # the first place of the highest count
        rewards[torch.arange(len(rewards)), last] += whiten(judged).to(rewards)
        advantages = advantages_of(rewards, values, mask, gamma=ours.gamma, lam=ours.lam)
        found = Rollout(
            ids,
            mask,
            old,
            reference_logprobs,
            values,
            whiten(advantages, mask),
            advantages + values,
        )
        return found, {
            "reward": float(judged.mean()),
            "kl": float((old - reference_logprobs).sum(1).mean()),
            "ended": sum(ended) / len(ended),
        }

    @contextmanager
    def _as_reference(self, model: Transformer) -> Iterator[Transformer]:
        if self.reference is not None:
            yield self.reference
            return
        with adapters_off(model):
            yield model

    def _judge(
        self, dialogs: Sequence[Dialog], drawn: Sequence[list[int]], ended: Sequence[bool]
    ) -> Float[Tensor, " B"]:
        """Rewards in float64; an answer that cannot be judged gets 1 less than the lowest."""
        answers = [
            Answer(self.tokenizer.decode(ids).strip(), end)
            for ids, end in zip(drawn, ended, strict=True)
        ]
        good = [i for i, answer in enumerate(answers) if is_usable(answer)]
        rewards = self.reward([(dialogs[i], answers[i]) for i in good]) if good else [0.0]
        judged = torch.full((len(answers),), min(rewards) - 1, dtype=torch.float64)
        if good:
            judged[good] = torch.tensor(rewards, dtype=torch.float64)
        return judged

    def _summed(
        self, model: Transformer, part: Rollout, sums: dict[str, float]
    ) -> Float[Tensor, ""]:
        """The clipped loss and the value head's, summed over the tokens of some answers."""
        both = model(part.ids, values=True)
        labels = torch.where(part.mask, part.ids[:, 1:], IGNORE)
        labels = torch.cat((torch.full_like(labels[:, :1], IGNORE), labels), 1)  # (B, T)
        logprobs, values = token_logprobs(both[..., :-1], labels), both[:, :-1, -1]
        loss = clipped_loss(logprobs, part.old, part.advantages, part.mask, clip=self.config.clip)
        value_loss = torch.where(part.mask, (values - part.returns).square() / 2, 0.0).sum()
        ratio = (logprobs.detach() - part.old).exp()
        cut = ((ratio - 1).abs() > self.config.clip) & part.mask
        sums["clipped"] += float(cut.sum())
        sums["value_loss"] += float(value_loss.detach())
        return loss + self.config.value_weight * value_loss


def _padded(
    prompts: Sequence[list[int]], answers: Sequence[list[int]]
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Prompts with their answers as rows, and the answers' labels, not shifted."""
    longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(prompts), longest), PADDING)
    labels = torch.full((len(prompts), longest), IGNORE)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : end] = torch.tensor(answer, dtype=torch.int64)
    return ids, labels
