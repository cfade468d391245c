"""``llama-tutorial prefer``: from a chat model and pairs to one that gives the better answers."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch
from cli_options import OUT_OF_RANGE
from training_commands import check_resume, check_two_processes, metrics, words

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import ModelConfig, Transformer, load, load_model, load_tokenizer, save_model
from llama_tutorial.cli import main, prefer
from llama_tutorial.preferences.reward_model import load_reward_model
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tales import NOT_SAID

QUICK = "--evaluate-every 2 --checkpoint-every 2"
METHODS = {
    "dpo": "--method dpo --batch-size 4 --epochs 2",
    "rejection": "--method rejection --batch-size 2 --rounds 2 --samples 3 --max-new-tokens 6",
    "ppo": "--method ppo --batch-size 4 --steps 6 --mini-batches 2 --max-new-tokens 6",
}
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model that has learned nothing, and ends its answers soon."""
    torch.manual_seed(0)
    model = Transformer(ModelConfig(16, 1, 2, 1, 24, vocab_size=1024, max_seq_len=96))
    with torch.no_grad():  # one feature is always large, and speaks for EOS
        model.tok_embeddings.weight[:, 0] = 1.0
        model.output.weight[2, 0] = 1.6
    path = tmp_path_factory.mktemp("base") / "model"
    save_model(model, path, tokenizer=load_tokenizer(SHIPPED["tales"].tokenizer))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Pairs of both forms."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    lines = [
        {"prompt": f"Say {i}.", "chosen": f"Well, {i}.", "rejected": f"No, {i}!", "grade": i % 4}
        for i in range(12)
    ]
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    lines.append({"prompt": prompt, "chosen": "Ho", "rejected": "Ha"})
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def run(*arguments) -> int:
    return main(["prefer", *words(arguments)])


def test_dpo_prefers_what_is_chosen(base, file, tmp_path, capsys):
    options = ("--out", tmp_path, "--model", base, "--data", file, QUICK, METHODS["dpo"])
    assert run(*options, "--lr 1e-2") == 0
    out = capsys.readouterr().out
    assert "12 pairs with " in out
    assert re.search(r"training loss 0\.693, margin -?0\.000, accuracy [01]\.\d+, kl -?0\.000", out)
    lines = metrics(tmp_path)
    assert lines[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[-1]["validation_accuracy"] == 1
    wanted = {"margin", "accuracy", "logprob_chosen", "logprob_rejected", "kl", "grad_norm"}
    assert wanted <= lines[0].keys()
    model, tokenizer = load(tmp_path / "model")
    assert (model.dtype, tokenizer.vocab_size) == (torch.float32, 1024)
    # The same command again finds everything done.
    assert run(*options, "--lr 1e-2") == 0
    assert "finished" in capsys.readouterr().out
    assert metrics(tmp_path) == lines


@pytest.mark.parametrize("method", ["rejection", "ppo"])
def test_the_others_train_a_reward_model_first(base, file, tmp_path, capsys, method):
    options = ("--out", tmp_path, "--model", base, "--data", file, QUICK, METHODS[method])
    assert run(*options) == 0
    out = capsys.readouterr().out
    assert f"training a reward model on 12 pairs, in {tmp_path / 'reward'}" in out
    assert metrics(tmp_path / "reward")[0]["accuracy"] == 0.5
    assert load_reward_model(tmp_path / "reward" / "model").config.dim == 16
    original = load_model(base).state_dict()
    changed = load_model(tmp_path / "model").state_dict()
    assert changed.keys() == original.keys()
    assert any(not torch.equal(changed[name], original[name]) for name in original)
    if method == "ppo":
        assert {"reward", "kl", "ended", "clipped", "value_loss"} <= metrics(tmp_path)[0].keys()
        assert "reward " in out
    else:
        assert "round 1 of 2: " in out
        first, second = (
            len((tmp_path / f"answers-{n}.jsonl").read_text().splitlines()) for n in (1, 2)
        )
        kept = first + second - 2  # each file begins with how it was made
        assert f"round 2 of 2: {kept} answers, the best of 3 each" in out
        assert (tmp_path / "round-1" / "model").is_dir()


@every_method
def test_lora_trains_adapters_and_writes_them_alone(base, file, tmp_path, method):
    options = ("--out", tmp_path, "--model", base, "--data", file, QUICK, METHODS[method])
    assert run(*options, "--lora --rank 2 --targets wq wv") == 0
    written = json.loads((tmp_path / "model" / "adapter.json").read_text())
    assert written["lora"]["rank"] == 2
    merged, original = load(tmp_path / "model")[0].state_dict(), load_model(base).state_dict()
    changed = [name for name in original if not torch.equal(merged[name], original[name])]
    assert sorted(name.split(".")[-2] for name in changed) == ["wq", "wv"]


@every_method
def test_adapters_learn_beside_packed_weights(base, file, tmp_path, method):
    options = ("--out", tmp_path, "--model", base, "--data", file, QUICK, METHODS[method])
    assert run(*options, "--lora --rank 2 --quantize int8") == 0
    losses = [line["loss"] for line in metrics(tmp_path)]
    assert len(losses) > 1
    assert all(map(math.isfinite, losses))
    assert (tmp_path / "model" / "adapter.json").is_file()
    assert run(*options, "--lora --rank 2 --quantize int4") == 2  # another base than the run's
    assert run("--out", tmp_path / "2", "--model", base, "--quantize int8") == 2  # no adapters


@every_method
def test_a_run_that_was_killed_goes_on_bit_for_bit(base, file, tmp_path, method):
    check_resume(
        tmp_path, prefer, "prefer", "--model", base, "--data", file, QUICK, METHODS[method]
    )


def test_without_a_file_the_story_world_judges(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(prefer, "VALIDATION_PAIRS", 2)
    assert run("--out", tmp_path, "--pairs 3 --batch-size 2 --epochs 1 --lr 1e-6") == 0
    (made,) = tmp_path.glob("pairs-3-seed0-*.jsonl")
    lines = [json.loads(line) for line in made.read_text().splitlines()]
    assert len(lines) == 5
    assert all(line["grade"] in (1, 2, 3) for line in lines)
    assert all(line["rejected"] != line["chosen"] for line in lines)
    assert any(NOT_SAID in (line["chosen"], line["rejected"]) for line in lines)
    assert "3 pairs with " in capsys.readouterr().out
    monkeypatch.setattr(prefer, "make_pairs", lambda *_, **__: pytest.fail("they are there"))
    assert run("--out", tmp_path, "--pairs 3 --batch-size 2 --epochs 1 --lr 1e-6") == 0


def test_a_run_goes_on_with_its_own_settings_only(base, file, tmp_path, capsys, monkeypatch):
    options = ("--out", tmp_path, "--model", base, "--data", file, QUICK)
    assert run(*options, METHODS["dpo"]) == 0
    other = tmp_path / "other.jsonl"
    other.write_text(file.read_text().replace("Say 7", "Say 8"))
    assert run(*options[:4], "--data", other, QUICK, METHODS["dpo"]) == 2
    assert "holds a run on other pairs: go on with the same" in capsys.readouterr().err
    monkeypatch.setattr(prefer.hub, "load", lambda *_, **__: pytest.fail("that is work"))
    for change, message in [
        (f"{METHODS['dpo']} --seed 1", "data setting --seed 0, not 1"),
        (f"{METHODS['dpo']} --beta 0.2", "data setting --beta 0.1, not 0.2"),
        (f"{METHODS['dpo']} --lora", "data setting --lora False, not True"),
        (METHODS["ppo"], "data setting --method dpo, not 'ppo'"),
    ]:
        assert run(*options, change) == 2
        assert message in capsys.readouterr().err
    assert main(["finetune", "--out", str(tmp_path), "--model", str(base)]) == 2
    assert "holds a run of prefer, and finetune cannot go on with it" in capsys.readouterr().err


def test_a_finished_run_gets_more_epochs(base, file, tmp_path, capsys):
    options = ("--out", tmp_path, "--model", base, "--data", file, QUICK, "--batch-size 4")
    assert run(*options, "--epochs 1") == 0
    assert run(*options, "--epochs 4") == 0
    assert "the run was finished at step 3, and goes on to step 12" in capsys.readouterr().out
    assert len(metrics(tmp_path)) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(pair for pair in OUT_OF_RANGE if "--steps" not in pair[0]),
        ("--pairs 0", "--pairs 0: must be at least 1"),
        ("--beta 0", "--beta 0.0: must be a finite number above 0"),
        ("--method rejection --samples 0", "--samples 0: must be at least 1"),
        ("--method rejection --temperature nan", "--temperature nan: must be a finite number"),
        ("--method ppo --kl -1", "--kl -1.0: must be 0 or above, and finite"),
        ("--method ppo --clip-ratio 1", "--clip-ratio 1.0: must be between 0 and 1"),
        ("--method ppo --batch-size 1", "--batch-size 1: PPO whitens the rewards of a step"),
        ("--method ppo --epochs 2", "--epochs 2.0: not with --method ppo, which counts --steps"),
        ("--method ppo --beta 0.2", "--beta 0.2: only with --method dpo; leave it out"),
        ("--kl 0.1", "--kl 0.1: only with --method ppo; leave it out"),
        ("--samples 4", "--samples 4: only with --method rejection; leave it out"),
        ("--margins large", "--margins large: only with --method rejection or ppo; leave it out"),
        ("--rank 4", "--rank 4: only with --lora; leave it out"),
        ("--epochs 0", "--epochs 0.0: must be above 0"),
        ("--validation some.jsonl", "--validation some.jsonl: tales bring their own"),
        ("--data none.jsonl", "none.jsonl: no such file; give a .jsonl file with one pair a line"),
    ],
)
def test_settings_are_checked_before_any_work(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.setattr(prefer, "process_group", lambda *_: pytest.fail("that is work"))
    monkeypatch.chdir(tmp_path)
    assert run("--out", "run", options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_file_of_one_pair_and_pairs_that_nothing_would_look_at(file, tmp_path, capsys):
    one = tmp_path / "one.jsonl"
    one.write_text(file.read_text().splitlines()[0])
    assert run("--out", tmp_path / "run", "--data", one) == 2
    assert "one.jsonl holds one pair, and some must be kept" in capsys.readouterr().err
    assert run("--out", tmp_path / "run", "--data", file, "--pairs 7") == 2
    assert f"--pairs 7: --data {file} is read whole; leave it out" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("lora", ["", "--lora --rank 2"])
@every_method
def test_two_processes_have_the_losses_of_one(base, file, tmp_path, method, lora):
    options = f"--model {base} --data {file} {QUICK} {METHODS[method]} {lora}"
    check_two_processes(tmp_path, "prefer", options, apart=["accuracy"])  # rounding decides at 0
