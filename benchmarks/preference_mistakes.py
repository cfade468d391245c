"""What mistakes in training on preferences look like: short runs, each with one of them. Recorded.

    python benchmarks/preference_mistakes.py --out runs/mistakes
    python benchmarks/preference_mistakes.py --out runs/mistakes --json FILE

All runs begin with the shipped ``tales-chat`` and take the same pairs, or the same prompts, in the
same order. Of each are written down what its own code notes (the loss and the margin that one would
look at), and beside it what is so: the log-probabilities of held-out pairs, measured as they should
be, and how many questions about tales of the test split are answered rightly, before and after.
About ten minutes on one core. FILE is
``llama_tutorial/data/preference_mistakes.json``.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import json
import statistics
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from finetuning import once
from recorded_runs import record
from torch import Tensor

from llama_tutorial import Transformer, load
from llama_tutorial._util.labels import IGNORE
from llama_tutorial.finetuning import Example
from llama_tutorial.finetuning.evaluation import Answer, answer_dialogs
from llama_tutorial.preferences import dpo, losses, ppo
from llama_tutorial.preferences.batches import PairBatch, PairBatches, encode_pair
from llama_tutorial.preferences.dpo import DPO
from llama_tutorial.preferences.pair_file import Pair, read_pairs, write_pairs
from llama_tutorial.preferences.ppo import PPO, PolicyWithValue, PPOConfig, Prompts
from llama_tutorial.preferences.truth import TRUE, make_pairs, questions_on, uncertain, worth
from llama_tutorial.tales import tales
from llama_tutorial.training.loop import Method, TrainConfig
from llama_tutorial.training.step import cosine_schedule, make_optimizer

N_PAIRS, N_HELD_OUT, BATCH_SIZE, STEPS, BETA, LR = 96, 24, 8, 28, 0.1, 1e-4
PPO_STEPS, PPO_BATCH, PPO_LR = 20, 16, 2e-4
PPO_SETTINGS = PPOConfig(kl=0.3, mini_batches=2)
WATCHED = 4  # steps from one measurement with the held-out pairs to the next
PAIR_TALES, PROMPT_TALES, TEST_TALES = 90_000_000, 91_000_000, 720_000  # where nothing else looks
N_TEST_TALES = 60


def main() -> None:
    """Do what is not done, then put all into one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="the folder of the runs")
    parser.add_argument("--json", type=Path, help="write the results that are there to this file")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    bench = Bench(arguments.out)
    results: dict[str, Any] = {"before": bench.before}
    for method, runs in (("dpo", dpo_runs(bench)), ("ppo", ppo_runs(bench))):
        results[method] = {}
        for name, run in runs.items():
            file = arguments.out / f"{method}-{name.replace(' ', '-')}.json"
            once(file, partial(bench.result, run, arguments.out / f"{method}-right.pt"))
            results[method][name] = json.loads(file.read_text(encoding="utf-8"))
    if arguments.json is not None:
        settings = {
            "pairs": N_PAIRS,
            "held_out": N_HELD_OUT,
            "questions": len(bench.asked),
            "batch_size": BATCH_SIZE,
            "steps": STEPS,
            "watched_every": WATCHED,
            "beta": BETA,
            "lr": LR,
            "ppo_steps": PPO_STEPS,
            "ppo_batch_size": PPO_BATCH,
            "ppo_lr": PPO_LR,
            "ppo_kl": PPO_SETTINGS.kl,
        }
        command = "python benchmarks/preference_mistakes.py --out runs/mistakes"
        record(arguments.json, command, settings | results)


def largest_difference(model: Transformer, theirs: dict[str, Tensor]) -> float:
    """Between two weights of the same name, of all."""
    return max(
        float((tensor - theirs[name]).abs().max()) for name, tensor in model.state_dict().items()
    )


class Bench:
    """What all runs share: the pairs, and what is measured as it should be."""

    def __init__(self, out: Path) -> None:
        self.model, self.tokenizer = load("tales-chat", dtype=torch.float32)
        n, file = N_HELD_OUT + N_PAIRS, out / "pairs.jsonl"
        if not file.exists():
            told = tales(10**5, "train", PAIR_TALES)
            write_pairs(make_pairs(self.model, self.tokenizer, told, n), file)
        pairs = read_pairs(file)[:n]
        self.learned = pairs[N_HELD_OUT:]
        held_out = [encoded(pair, self.tokenizer) for pair in pairs[:N_HELD_OUT]]
        self._held_out = list(batches(held_out).every_pair())
        self._logprobs_before = self._logprobs(self.model)
        all_questions = questions_on(tales(N_TEST_TALES, "test", TEST_TALES))
        self.asked = uncertain(self.model, self.tokenizer, all_questions)
        self.before = self.truth(self.model)

    def result(self, run: Callable[[Transformer], dict[str, Any]], right: Path) -> dict[str, Any]:
        """What a run notes, and its model afterwards, against the right one's weights."""
        model = copy.deepcopy(self.model)
        torch.manual_seed(0)
        found = run(model)
        if not right.exists():
            torch.save(model.state_dict(), right)
        return {
            **found,
            "after": self.truth(model),
            "largest_difference_of_a_weight": largest_difference(model, torch.load(right)),
        }

    @torch.no_grad()
    def _logprobs(self, model: Transformer) -> Tensor:
        found = [
            torch.stack(losses.sequence_logprobs(model, part.inputs, part.labels).chunk(2), 1)
            for part in self._held_out
        ]
        return torch.cat(found).double()  # (n, 2)

    def watch(self, model: Transformer) -> dict[str, float]:
        """Of the held-out pairs, what both answers have become, in nats, and the real margin."""
        now = self._logprobs(model)
        margin = BETA * (
            (now - self._logprobs_before) @ torch.tensor([1.0, -1.0], dtype=torch.float64)
        )
        chosen, rejected = now.mean(0).tolist()
        return {
            "logprob_chosen": round(float(chosen.mean()), 4),
            "logprob_rejected": round(float(rejected.mean()), 4),
            "true_margin": round(float(margin.mean()), 4),
        }

    def truth(self, model: Transformer) -> dict[str, float]:
        """The answers to the test's questions: right ones, ended ones, and their length."""
        answers = answer_dialogs(model, self.tokenizer, [one.dialog for one in self.asked])
        right = sum(worth(q, a) == TRUE for q, a in zip(self.asked, answers, strict=True))
        lengths = [len(self.tokenizer.encode(answer.text)) for answer in answers]
        return {
            "right": right,
            "ended": sum(answer.ended for answer in answers),
            "tokens": round(statistics.mean(lengths), 2),
        }

    def trained(
        self,
        model: Transformer,
        method: Method,
        batch: Callable[[int], Any],
        steps: int,
        lr: float,
        names: Sequence[str],
    ) -> dict[str, Any]:
        """Train, and note step by step what the method says, and now and then what is so."""
        config = TrainConfig(total_steps=steps, peak_lr=lr, warmup_steps=3, checkpoint_every=0)
        optimizer = make_optimizer(model, lr=lr)
        method.start(model, config)
        curves: dict[str, list[float]] = {name: [] for name in names}
        watched = [self.watch(model)]
        model.train()
        for step in range(1, steps + 1):
            rate = cosine_schedule(step, peak_lr=lr, warmup_steps=3, total_steps=steps)
            noted = method.step(model, optimizer, batch(step), config, rate)
            for name in names:
                curves[name].append(round(noted[name], 6))
            if step % WATCHED == 0:
                watched.append(self.watch(model))
        model.eval()
        return {**curves, **{key: [one[key] for one in watched] for key in watched[0]}}


# -- DPO ----------------------------------------------------------------------------------------


def encoded(pair: Pair, tokenizer: Any) -> tuple[Example, Example, int]:
    """A pair as it should be."""
    return (*encode_pair(pair, tokenizer), pair.grade)


def batches(pairs: Sequence[tuple[Example, Example, int]]) -> PairBatches:
    """Pairs as batches."""
    return PairBatches(pairs, BATCH_SIZE, 512, seed=0)


def dpo_runs(bench: Bench) -> dict[str, Callable[[Transformer], dict[str, Any]]]:
    """The right run first, then those with a mistake."""
    right = [encoded(pair, bench.tokenizer) for pair in bench.learned]

    def run(
        pairs: Sequence[tuple[Example, Example, int]],
        kind: type[DPO] = DPO,
        logprobs: Callable[..., Tensor] = losses.sequence_logprobs,
    ) -> Callable[[Transformer], dict[str, Any]]:
        def running(model: Transformer) -> dict[str, Any]:
            training = batches(pairs)
            with mock.patch.object(dpo, "sequence_logprobs", logprobs):
                return bench.trained(
                    model,
                    kind(training, beta=BETA),
                    training.batch,
                    STEPS,
                    LR,
                    ("loss", "margin", "accuracy"),
                )

        return running

    return {
        "right": run(right),
        "reference not frozen": run(right, NotFrozen),
        "reference forgotten": run(right, Forgotten),
        "prompt counted": run([(whole(a), whole(b), grade) for a, b, grade in right]),
        "mean for sum": run(right, logprobs=mean_logprobs),
        "pairs swapped": run([(b, a, grade) for a, b, grade in right]),
        "EOS outside": run([(endless(a), endless(b), grade) for a, b, grade in right]),
    }


class NotFrozen(DPO):
    """The reference is the very model that learns: nobody has made a copy."""

    def loss(self, model: Transformer, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            both = losses.sequence_logprobs(model, batch.inputs, batch.labels).chunk(2)
        self._reference[self._of][batch.numbers] = torch.stack(both, 1).double()
        return super().loss(model, batch)


class Forgotten(DPO):
    """There is no reference: what the loss takes for its log-probabilities is 0."""

    def start(self, model: Transformer, config: TrainConfig) -> None:
        super().start(model, config)
        for numbers in self._reference.values():
            numbers.zero_()


def whole(example: Example) -> Example:
    """Every token counts, except the first, which nothing foretells."""
    return Example(example.ids, [IGNORE, *example.ids[1:]])


def endless(example: Example) -> Example:
    """EOS does not count."""
    return Example(example.ids, [*example.labels[:-1], IGNORE])


def mean_logprobs(model: Transformer, ids: Tensor, labels: Tensor) -> Tensor:
    """The mean over an answer's tokens."""
    return losses.sequence_logprobs(model, ids, labels) / (labels != IGNORE).sum(1)


# -- PPO ----------------------------------------------------------------------------------------


def ppo_runs(bench: Bench) -> dict[str, Callable[[Transformer], dict[str, Any]]]:
    """The right run first, then those with a mistake: the lines of the package, one changed."""
    cost, reward = "rewards = -ours.kl *", "+= whiten(judged)"
    edits: dict[str, tuple[str, str] | None] = {
        "right": None,
        "KL sign": (cost, cost.replace("-ours", "ours")),
        "whitening forgotten": (reward, "+= judged"),
    }

    def run(edit: tuple[str, str] | None) -> Callable[[Transformer], dict[str, Any]]:
        def running(model: Transformer) -> dict[str, Any]:
            doubtful = questions_on(tales(40, "train", PROMPT_TALES))
            asked = uncertain(model, bench.tokenizer, doubtful)
            known = {one.dialog[-1]["content"]: one for one in asked}

            def judge(answered: Sequence[tuple[Any, Answer]]) -> list[float]:
                return [worth(known[d[-1]["content"]], a) / TRUE for d, a in answered]

            prompts = Prompts([one.dialog for one in asked], bench.tokenizer, PPO_BATCH)
            policy = PolicyWithValue.of(model)  # the same modules: model learns, too
            with edited(edit):
                method = PPO(bench.tokenizer, judge, PPO_SETTINGS, copy.deepcopy(model))
                names = ("loss", "reward", "kl", "ended")
                found = bench.trained(policy, method, prompts.batch, PPO_STEPS, PPO_LR, names)
            policy.without_value()
            return found

        return running

    return {name: run(edit) for name, edit in edits.items()}


@contextmanager
def edited(edit: tuple[str, str] | None) -> Iterator[None]:
    """`PPO.rollout` with one piece of its text replaced, for a while.

    Raises:
        ValueError: The piece is not there, or is there twice.
    """
    if edit is None:
        yield
        return
    source = textwrap.dedent(inspect.getsource(PPO.rollout))
    if source.count(edit[0]) != 1:
        raise ValueError(f"{edit[0]!r} occurs {source.count(edit[0])} times in PPO.rollout")
    names: dict[str, Any] = dict(vars(ppo))
    exec(compile("from __future__ import annotations\n" + source.replace(*edit), "", "exec"), names)
    with mock.patch.object(PPO, "rollout", names["rollout"]):
        yield


if __name__ == "__main__":
    main()
