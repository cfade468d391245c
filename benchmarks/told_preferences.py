"""Does learning from preferences make the small chat model tell tales that hold together?

    python benchmarks/told_preferences.py --out runs/told
    python benchmarks/told_preferences.py --out runs/told --json PATH

where PATH is ``llama_tutorial/data/told_preferences.json`` for the book's numbers.

Asked for a tale, the shipped ``tales-chat`` contradicts itself in one claim of five. The story
world reads every tale and judges it (`Verdict`), so the truest of eight can be told from the least
true without asking anybody. Of these samples, DPO learns in pairs, rejection sampling fine-tuning
learns the best, and reward models learn from pairs what "true" might mean.

Requests to learn from are those of the training split, settings were chosen by those of the
validation split, and the results are measured on the test split: none of its requests was learned
from, and half of them name a combination that no training tale has. Each experiment's result is a
file of its own: what is there is not done again, and a training that was killed goes on. ``--only``
takes the first letters of names: ``dpo``, ``rejection-v1``. About two hours on one core that
does nothing else; everything but the last bits is reproducible.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
from finetuning import WORDS, some_of
from preferences import curve, measure, settings, small
from recorded_runs import record

from llama_tutorial import KVCache, Transformer, load_model
from llama_tutorial.chat.dialog import encode_dialog
from llama_tutorial.finetuning import encode_example
from llama_tutorial.finetuning.evaluation import Answer, answer_dialogs
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.generation import generate
from llama_tutorial.preferences.batches import PairBatches, encode_pair, last_answer
from llama_tutorial.preferences.dpo import DPO
from llama_tutorial.preferences.pair_file import Pair
from llama_tutorial.preferences.rejection import (
    Best,
    encode_answered,
    is_usable,
    learned_reward,
)
from llama_tutorial.preferences.reward_model import (
    RewardModel,
    RewardTraining,
    load_reward_model,
    save_reward_model,
)
from llama_tutorial.preferences.truth import questions_on, worth
from llama_tutorial.tales import consistency, questions, tales
from llama_tutorial.training.loop import train

CONTEXT, ROWS, TALE_TOKENS = 512, 256, 220
SEEDS, K, REQUESTS = (0, 1, 2), 8, 240
FIRST = {"train": 60_000_000, "validation": 60_000_000, "test": 900_000}
TEMPERATURES = (0.0, 0.7, 1.0)
DRAWN_AT = 0.7  # at 1, the best of eight tales is hardly better than one that is drawn at 0.7
BEST_REQUESTS, ANSWERED = 32, 150
PAIRS_READ, TALES_READ, OFTEN = 400, 8, 40  # of the judges, to a request; a word
STUDENT = {2: 12.706, 3: 4.303}  # the 97.5 % quantiles of n - 1 degrees of freedom
BETA = 0.1


class Drawn(NamedTuple):
    """A told tale."""

    text: str
    ended: bool
    tokens: int


class Verdict(NamedTuple):
    """What the story world makes of a told tale.

    Attributes:
        held: Claims that hold.
        claims: All claims.
        read: Sentences that could be read.
        sentences: All of them.
        named: How many of the name, the thing and the place that were asked for are there.
        wanted: How many were asked for.
        ended: 1 where the tale ended, else 0.
        tokens: Its length.
    """

    held: int
    claims: int
    read: int
    sentences: int
    named: int
    wanted: int
    ended: int
    tokens: int

    @property
    def reward(self) -> float:
        """From 0 to 1: the product of all shares, so that none can be had for another."""
        if not self.ended or not self.claims:
            return 0.0
        shares = (self.held / self.claims, self.read / self.sentences, self.named / self.wanted)
        return math.prod(shares)


def judge(request: str, tale: Drawn) -> Verdict:
    """Read a tale and compare it with what was asked for."""
    found = consistency(tale.text)
    wanted = WORDS & set(re.findall(r"\w+", request))
    return Verdict(
        sum(claim.holds for claim in found.claims),
        len(found.claims),
        round(found.parsed * found.sentences),
        found.sentences,
        len(wanted & set(re.findall(r"\w+", tale.text))),
        len(wanted),
        int(tale.ended),
        tale.tokens,
    )


def main() -> None:
    """Do what is not done, then put all into one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="the folder of the runs")
    parser.add_argument("--tales", type=int, default=100, help="to ask questions about")
    parser.add_argument("--requests", type=int, default=200, help="for tales, to measure with")
    parser.add_argument("--only", nargs="+", help="the beginnings of names; by default all")
    parser.add_argument("--json", type=Path, help="write the results that are there to this file")
    arguments = parser.parse_args()
    (arguments.out / "runs").mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    results = some_of(list_of(arguments), arguments.out, arguments.only or [""])
    if arguments.json is not None:
        command = f"python benchmarks/told_preferences.py --tales {arguments.tales}"
        command += f" --requests {arguments.requests}"
        summed_up = {"compared": compared(results), "best_of_n": averaged(results)}
        record(arguments.json, command, {"results": results, **summed_up})


def list_of(arguments: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What can be run, by name."""
    of = partial(partial, arguments=arguments)
    found: dict[str, Callable[[], dict[str, Any]]] = {"base-dev": of(base_dev), "base": of(base)}
    for lr in (1e-4, 3e-4):
        found[f"sweep-dpo-lr{lr:g}"] = of(dpo, seed=0, lr=lr, choosing=True)
    for lr in (1e-4, 2e-4):
        found[f"sweep-truth-lr{lr:g}"] = of(dpo, seed=0, lr=lr, alike=True, choosing=True)
    found["sweep-rejection-lr0.001"] = of(rejection, seed=0, choosing=True)
    for seed in SEEDS:
        found[f"dpo-seed{seed}"] = of(dpo, seed=seed)
        found[f"rejection-v1-seed{seed}"] = of(rejection, seed=seed)
    for seed in SEEDS:
        found[f"dpo-truth-seed{seed}"] = of(dpo, seed=seed, alike=True)
    for version, seed in product((2, 3, 4), SEEDS):
        found[f"rejection-v{version}-seed{seed}"] = of(rejection, seed=seed, version=version)
    for version in (2, 3, 4):  # from the last round's tales alone: are the earlier ones needed?
        name = f"rejection-only-v{version}-seed0"
        found[name] = of(rejection, seed=0, version=version, earlier=False)
    found["best-of-n-truth"] = of(best_by_truth)
    for seed in SEEDS:
        for n_pairs in (400, 100):
            name = f"best-of-n-{n_pairs}-seed{seed}"
            found[name] = of(over_optimisation, n_pairs=n_pairs, seed=seed)
    for seed in SEEDS:
        found[f"reading-seed{seed}"] = of(reading, seed=seed)
    return found


# -- tales and what is measured of them ---------------------------------------------------------


def requests(n: int, split: str, first: int) -> list[str]:
    """The first ``n`` requests for a tale in a split, from a seed on."""
    found: list[str] = []
    while len(found) < n:
        told = tales(100, split, first)
        found += [one.text for tale in told for one in questions(tale) if one.kind == "tell"]
        first += 100
    return found[:n]


def prompt_of(request: str) -> list[dict[str, str]]:
    """The request as a dialog."""
    return [{"role": "user", "content": request}]


def draw(
    model: Transformer, tokenizer: Any, asked: Sequence[str], k: int, temperature: float, seed: int
) -> list[list[Drawn]]:
    """``k`` tales for each request."""
    prompts = [encode_dialog(prompt_of(one), tokenizer) for one in asked for _ in range(k)]
    found = []
    for first in range(0, len(prompts), ROWS):
        drawn = generate(
            model,
            prompts[first : first + ROWS],
            TALE_TOKENS,
            temperature=temperature,
            top_p=1.0,
            seed=seed * 1_000_003 + first,
            stop_ids={tokenizer.eos_id},
        )
        for ids in drawn:
            found.append(Drawn(tokenizer.decode(ids).strip(), len(ids) < TALE_TOKENS, len(ids)))
    return [found[first : first + k] for first in range(0, len(found), k)]


def pool(
    file: Path,
    model: Transformer,
    tokenizer: Any,
    asked: Sequence[str],
    k: int = K,
    seed: int = 0,
) -> list[tuple[str, list[Drawn]]]:
    """Tales drawn at `DRAWN_AT`, with the requests; drawn once and kept in a file."""
    if not file.exists():
        drawn = draw(model, tokenizer, asked, k, DRAWN_AT, seed)
        lines = [json.dumps(pair) for pair in zip(asked, drawn, strict=True)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = file.read_text(encoding="utf-8").splitlines()
    return [(one, [Drawn(*tale) for tale in told]) for one, told in map(json.loads, lines)]


def summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Shares over all tales, an interval for the consistency, and each tale's claims."""
    held, claims, read, sentences, named, wanted, ended, tokens = map(
        np.array, zip(*verdicts, strict=True)
    )
    return {
        "consistency": round(held.sum() / claims.sum(), 4),
        "interval": interval(held, claims),
        "parsed": round(read.sum() / sentences.sum(), 4),
        "named": round(named.sum() / wanted.sum(), 4),
        "ended": round(float(ended.mean()), 4),
        "reward": round(statistics.mean(one.reward for one in verdicts), 4),
        "claims": round(float(claims.mean()), 2),  # a tale
        "tokens": round(float(tokens.mean()), 1),
        "held_of": " ".join(f"{h}/{c}" for h, c in zip(held, claims, strict=True)),
        "rewards": " ".join(f"{one.reward:.3f}" for one in verdicts),
    }


def resamples(n: int, times: int = 4000) -> np.ndarray:
    """Which of ``n`` requests are in each of many bootstrap samples: ``(times, n)``."""
    return np.random.default_rng(0).integers(0, n, (times, n))


def percentiles(values: np.ndarray) -> list[float]:
    """The 95 % interval of bootstrapped values."""
    return [round(float(value), 4) for value in np.percentile(values, (2.5, 97.5))]


def interval(part: np.ndarray, whole: np.ndarray) -> list[float]:
    """A 95 % interval of a share over requests: those of a request stand or fall together."""
    drawn = resamples(len(part))
    return percentiles(part[drawn].sum(1) / whole[drawn].sum(1))


def measured(
    model: Transformer,
    tokenizer: Any,
    split: str,
    n: int,
    temperatures: Sequence[float] = TEMPERATURES,
) -> dict[str, Any]:
    """How well it tells what is asked for, at some temperatures."""
    asked = requests(n, split, FIRST[split])
    found, examples = {}, []
    for temperature in temperatures:
        drawn = draw(model, tokenizer, asked, 1, temperature, 7)
        verdicts = [judge(one, told[0]) for one, told in zip(asked, drawn, strict=True)]
        found[f"T={temperature:g}"] = summary(verdicts)
        examples.append({"request": asked[0], "temperature": temperature, "tale": drawn[0][0].text})
    return {"telling": found, "examples": examples}


def tested(model: Transformer, tokenizer: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """All that is measured of a finished model, on the test split."""
    return {
        **measured(model, tokenizer, "test", arguments.requests),
        "answering": measure(model, tokenizer, arguments),
    }


def developed(model: Transformer, tokenizer: Any) -> dict[str, Any]:
    """What settings are chosen by."""
    return measured(model, tokenizer, "validation", 100, (0.7,))


def base(arguments: argparse.Namespace) -> dict[str, Any]:
    """The model that all begin with."""
    return tested(*small(), arguments)


def base_dev(**_: Any) -> dict[str, Any]:
    """The same on the validation split."""
    return developed(*small())


# -- DPO ----------------------------------------------------------------------------------------


def first_pool(arguments: argparse.Namespace, seed: int) -> list[tuple[str, list[Drawn]]]:
    """What the model tells before any training; DPO and rejection sampling begin with it."""
    asked = requests(REQUESTS, "train", FIRST["train"] + 1_000_000 * seed)
    return pool(arguments.out / "runs" / f"drawn-seed{seed}.jsonl", *small(), asked, seed=seed)


def pairs_of(drawn: Sequence[tuple[str, list[Drawn]]], each: int, apart: float) -> list[Pair]:
    """Best and worst, second best and second worst, ... of each request's tales.

    Args:
        drawn: Requests and tales.
        each: The most pairs of a request.
        apart: By how much the rewards must differ.
    """
    found = []
    for request, told in drawn:
        usable = [tale for tale in told if is_usable(Answer(tale.text, tale.ended))]
        ranked = sorted(((judge(request, tale).reward, tale.text) for tale in usable), reverse=True)
        for place in range(min(each, len(ranked) // 2)):
            (more, better), (less, worse) = ranked[place], ranked[-1 - place]
            if more - less >= apart:
                grade = 3 if more - less >= 0.5 else 2
                found.append(Pair(prompt_of(request), better, worse, grade))
    return found


def truth_pairs(drawn: Sequence[tuple[str, list[Drawn]]], each: int, apart: float) -> list[Pair]:
    """The same, but both tales of a pair name equally much of what was asked for.

    So nothing is to be learned but which of the two is truer.
    """
    found = []
    for request, told in drawn:
        named: dict[int, list[Drawn]] = {}
        for tale in told:
            named.setdefault(judge(request, tale).named, []).append(tale)
        for _, alike in sorted(named.items(), reverse=True):
            found += pairs_of([(request, alike)], each, apart)
    return found


def batches(pairs: Sequence[Pair], tokenizer: Any, size: int, seed: int) -> PairBatches:
    """Pairs as batches."""
    encoded = [(*encode_pair(pair, tokenizer), pair.grade) for pair in pairs]
    return PairBatches(encoded, size, CONTEXT, seed=seed)


def learn_dpo(
    model: Transformer,
    tokenizer: Any,
    pairs: Sequence[Pair],
    out: Path,
    seed: int,
    *,
    lr: float,
    epochs: int = 2,
) -> dict[str, Any]:
    """DPO in place."""
    torch.manual_seed(seed)
    training = batches(pairs, tokenizer, 16, seed)
    config = settings(training.steps(epochs), lr)
    method = DPO(training, beta=BETA)
    data = {"pairs": training.content}
    if not train(model, training.batch, config, out, method=method, data=data):
        raise SystemExit("stopped; the same command goes on from here")
    names = ("loss", "margin", "accuracy", "logprob_chosen", "logprob_rejected", "kl")
    return {
        "lr": lr,
        "epochs": epochs,
        "beta": BETA,
        "pairs": training.n_pairs,
        "curve": curve(out, *names),
    }


def dpo(
    arguments: argparse.Namespace,
    seed: int,
    lr: float = 1e-4,
    *,
    alike: bool = False,
    choosing: bool = False,
) -> dict[str, Any]:
    """DPO on the tales of the first pool.

    Args:
        arguments: The command's.
        seed: Of the requests, the draws and the order.
        lr: The peak.
        alike: Whether both tales of a pair name equally much, so that they differ in truth alone;
            then there is one epoch, else there are two.
        choosing: Whether it is measured on the validation split, to choose settings by.
    """
    model, tokenizer = small()
    drawn = first_pool(arguments, seed)
    pairs = truth_pairs(drawn, 4, 0.15) if alike else pairs_of(drawn, 2, 0.2)
    out = arguments.out / "runs" / f"{'truth' if alike else 'dpo'}-lr{lr:g}-seed{seed}"
    epochs = 1 if alike else 2
    learned = learn_dpo(model, tokenizer, pairs, out, seed, lr=lr, epochs=epochs)
    if choosing:
        return {**learned, **developed(model, tokenizer)}
    return {"seed": seed, **learned, **tested(model, tokenizer, arguments)}


# -- rejection sampling -------------------------------------------------------------------------


def best_of(drawn: Sequence[tuple[str, list[Drawn]]]) -> list[Best]:
    """The best of each request's tales."""
    found = []
    for request, told in drawn:
        usable = [tale for tale in told if is_usable(Answer(tale.text, tale.ended))]
        rewards = [judge(request, tale).reward for tale in usable]
        if usable:
            place = max(range(len(usable)), key=rewards.__getitem__)  # of equals the first
            mean = statistics.mean(rewards)
            found.append(Best(prompt_of(request), usable[place].text, rewards[place], mean))
    return found


def learn_best(
    model: Transformer,
    tokenizer: Any,
    kept: Sequence[Best],
    out: Path,
    seed: int,
    *,
    lr: float,
    epochs: int = 3,
) -> dict[str, Any]:
    """Fine-tune in place on what was kept."""
    torch.manual_seed(seed)
    examples = [last_answer(encode_example(one.dialog(), tokenizer)) for one in kept]
    packed = PackedExamples(examples, 4, CONTEXT, seed=seed)
    config = settings(packed.steps(epochs), lr)
    if not train(model, packed.batch, config, out, data={"content": packed.content}):
        raise SystemExit("stopped; the same command goes on from here")
    return {
        "lr": lr,
        "epochs": epochs,
        "learned_from": packed.n_examples,
        "curve": curve(out, "loss"),
    }


def answered(model: Transformer, tokenizer: Any, n: int, first: int) -> list[Best]:
    """Some questions about training tales that the model answers right, to be learned again."""
    told = tales(n // 5, "train", first)
    asked = Random(first).sample(questions_on(told), n)
    answers = answer_dialogs(model, tokenizer, [one.dialog for one in asked])
    return [
        Best([dict(message) for message in one.dialog], answer.text, 1.0, 1.0)
        for one, answer in zip(asked, answers, strict=True)
        if worth(one, answer) == 3
    ]


def rejection(
    arguments: argparse.Namespace,
    seed: int,
    version: int = 1,
    lr: float = 1e-3,
    *,
    earlier: bool = True,
    choosing: bool = False,
) -> dict[str, Any]:
    """A round of rejection sampling: the best tales of the last version make the next.

    From the second round on it learns the best tales of the earlier rounds as well, and, lest it
    forget how to answer, some of its own right answers to questions.

    Args:
        arguments: The command's.
        seed: Of the requests, the draws and the order.
        version: The round, 1 to 4. Each needs the one before.
        lr: The peak.
        earlier: Whether the best tales of earlier rounds are kept.
        choosing: As for `dpo`.
    """
    runs = arguments.out / "runs"
    folders = [runs / f"{version_name(v, earlier)}-lr{lr:g}-seed{seed}" for v in range(1, 5)]
    model, tokenizer = small()
    rounds = [best_of(first_pool(arguments, seed))]
    for v in range(2, version + 1):
        model = load_model(folders[v - 2] / "model", dtype=torch.float32)
        begin = 20 * v - 30 + seed
        asked = requests(REQUESTS, "train", FIRST["train"] + 1_000_000 * begin)
        file = runs / f"drawn-{version_name(v, earlier)}-seed{seed}.jsonl"
        rounds.append(best_of(pool(file, model, tokenizer, asked, seed=begin)))
    kept = [best for new in rounds[0 if earlier else -1 :] for best in new]
    right_answers = []
    if version > 1:
        begin = FIRST["train"] + 1_000_000 * (20 * version - 20 + seed)
        right_answers = answered(model, tokenizer, ANSWERED, begin)
    out, examples = folders[version - 1], [*kept, *right_answers]
    learned = {
        **learn_best(model, tokenizer, examples, out, seed, lr=lr),
        "answers_among_them": len(right_answers),
        "reward_of_one": round(statistics.mean(one.mean for one in rounds[-1]), 4),
        "reward_of_best": round(statistics.mean(one.reward for one in rounds[-1]), 4),
    }
    if choosing:
        return {**learned, **developed(model, tokenizer)}
    return {"seed": seed, **learned, **tested(model, tokenizer, arguments)}


def version_name(version: int, earlier: bool = True) -> str:
    """What the round's files are called; the first knows of no earlier ones."""
    return f"rejection-v{version}" if earlier or version == 1 else f"rejection-only-v{version}"


# -- over-optimisation --------------------------------------------------------------------------


def over_optimisation(arguments: argparse.Namespace, n_pairs: int, seed: int) -> dict[str, Any]:
    """The learned reward and the true one of the best of n, by the distance that it costs.

    Each reward model chooses among the same tales, to requests that none has learned from. The
    best of n is at most log n - (n - 1) / n nats from the model itself (Beirami et al., 2024).
    """
    drawn, truth = many(arguments)
    reward, learning = learned_judge(arguments, n_pairs, seed)
    score = learned_reward(reward, small()[1])
    answered = [
        [(prompt_of(one), Answer(tale.text, tale.ended)) for tale in told] for one, told in drawn
    ]
    scores = np.array([score(group) for group in answered])
    return {
        "pairs": n_pairs,
        "seed": seed,
        "curve": learning,
        "accuracy": round(agreement(scores, truth), 4),
        "mean": round(float(scores.mean()), 4),
        "deviation": round(float(scores.std()), 4),
        "points": best_of_n(scores, truth),
    }


def best_by_truth(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same with the world itself as the judge: what there is to be had."""
    drawn, truth = many(arguments)
    return {"requests": len(drawn), "drawn": truth.shape[1], "points": best_of_n(truth, truth)}


def many_tales(arguments: argparse.Namespace) -> list[tuple[str, list[Drawn]]]:
    """64 tales to some requests of the validation split."""
    asked = requests(BEST_REQUESTS, "validation", FIRST["validation"] + 1_000_000)
    return pool(arguments.out / "runs" / "drawn-64.jsonl", *small(), asked, 64, seed=9)


def many(arguments: argparse.Namespace) -> tuple[list[tuple[str, list[Drawn]]], np.ndarray]:
    """The same, and their true rewards ``(R, K)``."""
    drawn = many_tales(arguments)
    return drawn, np.array([[judge(one, tale).reward for tale in told] for one, told in drawn])


def learned_judge(
    arguments: argparse.Namespace, n_pairs: int, seed: int
) -> tuple[RewardModel, dict[str, list[float]]]:
    """A reward model that has learned from so many pairs."""
    out = arguments.out / "runs" / f"reward-{n_pairs}-seed{seed}"
    model, tokenizer = small()
    pairs = pairs_of(first_pool(arguments, seed), 4, 0.1)
    training = batches(Random(seed).sample(pairs, n_pairs), tokenizer, 16, seed)
    torch.manual_seed(seed)
    finished = train(
        RewardModel.of(model),
        training.batch,
        settings(training.steps(2), 5e-4),
        out,
        method=RewardTraining("small"),
        data={"pairs": training.content},
        write_model=save_reward_model,  # type: ignore[arg-type]
    )
    if not finished:
        raise SystemExit("stopped; the same command goes on from here")
    return load_reward_model(out / "model"), curve(out, "loss", "margin", "accuracy")


def agreement(scores: np.ndarray, truth: np.ndarray) -> float:
    """How often the better of two tales to one request has the higher score: ``(R, K)`` each."""
    first, second = np.triu_indices(truth.shape[1], 1)
    true, learned = (values[:, first] - values[:, second] for values in (truth, scores))
    differ = true != 0
    return float((np.sign(true) == np.sign(learned))[differ].mean())


def best_of_n(scores: np.ndarray, truth: np.ndarray) -> list[dict[str, float]]:
    """Both rewards of the best of n by the first, as an average over all choices of n of K.

    Of n among K, the one at place i (from 0, upwards) is the best in ``C(i, n - 1)`` of ``C(K, n)``
    cases.
    """
    order = scores.argsort(1, kind="stable")
    ranked, true = (np.take_along_axis(values, order, 1) for values in (scores, truth))
    k, points = scores.shape[1], []
    for n in [2**i for i in range(k.bit_length()) if 2**i <= k]:
        share = np.array([math.comb(i, n - 1) / math.comb(k, n) for i in range(k)])
        each = true @ share  # of a request
        drawn = resamples(len(each))
        points.append(
            {
                "n": n,
                "kl": round(math.log(n) - (n - 1) / n, 4),
                "learned": round(float((ranked @ share).mean()), 4),
                "true": round(float(each.mean()), 4),
                "interval": percentiles(each[drawn].mean(1)),
            }
        )
    return points


# -- what a reward model reads ------------------------------------------------------------------


def reading(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """What moves a reward model: its scores of tales that are cut off after each word.

    The scores are in standard deviations of those of the whole tales. ``by_sentence`` has what a
    sentence changes on average: where the world finds that all its claims hold, where one fails,
    and where there is none. ``shown`` has the best and the worst tale to the first request.
    """
    drawn = many_tales(arguments)
    reward, tokenizer = learned_judge(arguments, PAIRS_READ, seed)[0], small()[1]
    read = [
        [read_by_word(reward, tokenizer, request, tale) for tale in told[:TALES_READ]]
        for request, told in drawn
    ]
    deviation = statistics.pstdev(one.scores[-1] for several in read for one in several)
    by_word: dict[str, list[float]] = {}
    changes: dict[str, list[list[float]]] = {}
    for several in read:
        of_request: dict[str, list[float]] = {"holds": [], "fails": [], "none": []}
        for one in several:
            scores = [score / deviation for score in one.scores]
            for word, (before, after) in zip(one.words, pairwise(scores), strict=True):
                by_word.setdefault(word.strip(), []).append(after - before)
            first = 0
            for end, kind in one.sentences:
                of_request[kind].append(scores[end] - scores[first])
                first = end
        for kind, values in of_request.items():
            changes.setdefault(kind, []).append(values)
    ranked = sorted(read[0], key=lambda one: one.true)
    return {
        "pairs": PAIRS_READ,
        "seed": seed,
        "tales": sum(map(len, read)),
        "deviation": round(deviation, 4),
        "by_sentence": {kind: mean_change(values) for kind, values in changes.items()},
        "by_word": {
            word: round(statistics.mean(values), 4)
            for word, values in sorted(by_word.items())
            if len(values) >= OFTEN
        },
        "shown": [
            {
                "request": drawn[0][0],
                "true": round(one.true, 4),
                "words": "|".join(one.words),
                "scores": " ".join(f"{score / deviation:.3f}" for score in one.scores),
                "sentences": one.sentences,
            }
            for one in (ranked[-1], ranked[0])
        ],
    }


class Reading(NamedTuple):
    """A tale as a reward model reads it.

    Attributes:
        true: Its true reward.
        words: Its words and its punctuation, with the spaces before them.
        scores: Before the first word and after each.
        sentences: How many words there are up to each sentence's end, and ``"fails"`` where a claim
            of it does, else ``"holds"`` where it has claims, else ``"none"``.
    """

    true: float
    words: list[str]
    scores: list[float]
    sentences: list[tuple[int, str]]


@torch.inference_mode()
def read_by_word(reward: RewardModel, tokenizer: Any, request: str, tale: Drawn) -> Reading:
    """The scores of a tale that is cut off after each word, and ended there with its EOS.

    The tale is read once: each beginning of it is a row of the cache, to which the end is added.
    """
    dialog = [*prompt_of(request), {"role": "assistant", "content": tale.text}]
    example = encode_answered(dialog, tokenizer)
    prompt = sum(label < 0 for label in example.labels)
    ends = [0, *(found.end() for found in re.finditer(r"\w+|[^\w\s]+", tale.text))]
    lengths = [len(tokenizer.decode(example.ids[prompt:at])) for at in range(len(example.ids))]
    at = torch.tensor([max(prompt, lengths.index(end, prompt)) for end in ends])

    room = len(example.ids) + 2
    once, rows = (KVCache(reward.config, n, room) for n in (1, len(ends)))
    reward(torch.tensor([example.ids]), once)
    for slots, read in zip((*rows.k, *rows.v), (*once.k, *once.v), strict=True):
        slots.copy_(read.expand_as(slots))
    rows.length = at
    closing = torch.tensor([example.ids[-2:]]).expand(len(ends), -1)  # a space piece, and EOS
    scores = reward(closing, rows)[:, -1, 0].tolist()

    words = [tale.text[first:end] for first, end in pairwise(ends)]
    sentences, counted = [], (0, 0)
    for last, word in enumerate(words):
        if re.search(r"[.!?]", word):
            claims = consistency(tale.text[: ends[last + 1]]).claims
            fails = sum(not claim.holds for claim in claims)
            holds = len(claims) - fails
            kind = "fails" if fails > counted[1] else "holds" if holds > counted[0] else "none"
            sentences.append((last + 1, kind))
            counted = (holds, fails)
    return Reading(judge(request, tale).reward, words, scores, sentences)


def mean_change(by_request: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The mean of all changes, and its interval over requests."""
    sums = np.array([sum(values) for values in by_request])
    counts = np.array([len(values) for values in by_request])
    mean = float(sums.sum() / counts.sum())
    return {"mean": round(mean, 4), "interval": interval(sums, counts), "n": int(counts.sum())}


# -- comparisons --------------------------------------------------------------------------------


def compared(results: dict[str, Any]) -> dict[str, Any]:
    """By how much the models of each method differ from the first model, with 95 % intervals.

    ``interval`` is over requests or questions, which are drawn again, for the mean of all seeds;
    ``over_seeds`` is Student's for the three differences.
    """
    found: dict[str, Any] = {}
    for method in ("dpo", "dpo-truth", *(f"rejection-v{version}" for version in (1, 2, 3, 4))):
        runs = [results[name] for name in results if name.startswith(f"{method}-seed")]
        if "base" not in results or len(runs) < 2:
            continue
        found[method] = {
            how: {
                "consistency": difference([consistency_of(run, how) for run in (first, *runs)]),
                "reward": difference([rewards_of(run, how) for run in (first, *runs)]),
            }
            for first in [results["base"]]
            for how in first["telling"]
        }
        answers = [right(run) for run in (results["base"], *runs)]
        found[method]["answering"] = difference(answers)
    return found


def averaged(results: dict[str, Any]) -> dict[str, Any]:
    """The curves of the best of n, averaged over the reward models that learned from as many pairs.

    ``learned`` is counted in standard deviations of the model's rewards, from their mean: every
    reward model has a scale of its own.
    """
    found: dict[str, Any] = {}
    for n_pairs in (100, 400):
        models = [results[name] for name in results if name.startswith(f"best-of-n-{n_pairs}-")]
        if not models:
            continue
        found[str(n_pairs)] = [
            {
                "n": points[0]["n"],
                "kl": points[0]["kl"],
                "learned": [
                    round((point["learned"] - model["mean"]) / model["deviation"], 4)
                    for point, model in zip(points, models, strict=True)
                ],
                "true": [point["true"] for point in points],
                "mean_true": round(statistics.mean(point["true"] for point in points), 4),
            }
            for points in zip(*(model["points"] for model in models), strict=True)
        ]
    return found


Shares = tuple[np.ndarray, np.ndarray]  # of each request: a part, and the whole


def consistency_of(run: dict[str, Any], how: str) -> Shares:
    """The claims that hold, and all claims."""
    pairs = [one.split("/") for one in run["telling"][how]["held_of"].split()]
    held, claims = np.array(pairs, dtype=float).T
    return held, claims


def rewards_of(run: dict[str, Any], how: str) -> Shares:
    """The rewards, each of one tale."""
    rewards = np.array(run["telling"][how]["rewards"].split(), dtype=float)
    return rewards, np.ones_like(rewards)


def right(run: dict[str, Any]) -> Shares:
    """The questions that are answered right, each one of one."""
    correct = np.array(list(run["answering"]["right"]), dtype=float)
    return correct, np.ones_like(correct)


def difference(runs: Sequence[Shares]) -> dict[str, Any]:
    """By how much the shares of the later runs are above that of the first."""
    drawn = resamples(len(runs[0][0]))
    shares = [part[drawn].sum(1) / whole[drawn].sum(1) for part, whole in runs]
    each = [float(part.sum() / whole.sum()) for part, whole in runs]
    by_seed = [share - each[0] for share in each[1:]]
    spread = STUDENT[len(by_seed)] * statistics.stdev(by_seed) / len(by_seed) ** 0.5
    mean = statistics.mean(by_seed)
    return {
        "by_seed": [round(value, 4) for value in by_seed],
        "mean": round(mean, 4),
        "interval": percentiles(np.mean(shares[1:], axis=0) - shares[0]),
        "over_seeds": [round(mean - spread, 4), round(mean + spread, 4)],
    }


if __name__ == "__main__":
    main()
