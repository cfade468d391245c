"""The reward model: the decoder with one output in place of the vocabulary.

It reads a prompt with an answer, and the one number at the last token, the answer's EOS, is the
reward: what the model has read of all of it is there. It begins as the chat model that it will
judge, so that the two know the same, and no answer is good only because its judge has never heard
of it; only the head is new.

Source: Touvron et al. (2023), "Llama 2", section 3.2.2.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from llama_tutorial._util.files import replace_folder
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial._util.tensor_check import check_names, check_shapes
from llama_tutorial.checkpoints.folders import check_version, read_object, write_json
from llama_tutorial.checkpoints.native import packed_parts
from llama_tutorial.checkpoints.safetensors_file import save_safetensors
from llama_tutorial.checkpoints.weight_files import open_weights
from llama_tutorial.config import ModelConfig
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.batches import PairBatch
from llama_tutorial.preferences.losses import MARGINS, reward_loss
from llama_tutorial.preferences.pair_method import PairMethod, won
from llama_tutorial.quantization.linear import pack_layers

CONFIG, TENSORS = "reward.json", "reward.safetensors"
FORMAT, VERSION = "llama-tutorial-reward", 1


class RewardModel(Transformer):
    """A decoder whose head has one output: ``model(tokens)`` gives ``(B, T, 1)``.

    Args:
        config: Of the decoder; ``vocab_size`` is the tokens' that it reads.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.output = nn.Linear(config.dim, 1, bias=False)
        nn.init.zeros_(self.output.weight)  # every answer begins with the reward 0

    @classmethod
    def of(cls, model: Transformer) -> RewardModel:
        """A reward model with a copy of a chat model's weights, and a new head of zeros.

        Packed weights stay packed: adapters learn beside them, and the head.
        """
        with torch.device("meta"):
            reward = cls(model.config)
        weights = {
            name: tensor.detach().clone()
            for name, tensor in model.state_dict().items()
            if not name.startswith("output.")
        }
        weights["output.weight"] = torch.zeros_like(model.norm.weight[None]).detach()
        pack_layers(reward, weights, "the chat model's packed weights do not fit")
        reward.load_state_dict(weights, assign=True)
        for parameter in reward.parameters():
            parameter.requires_grad_(True)
        return reward

    def rewards(self, ids: Int[Tensor, "B T"], last: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The reward of each row, read at its last token.

        Args:
            ids: Prompt and answer; what follows ``last`` may be anything.
            last: The place of each row's last token.
        """
        return self(ids, logits_at=last)[:, 0, 0]  # (B, 1, 1) -> (B,)


class RewardTraining(PairMethod):
    """How a reward model learns from pairs: the method of its training.

    Args:
        margins: ``"none"``, ``"small"`` or ``"large"``: the margin of each grade (`MARGINS`).

    Raises:
        ValueError: No such margins.
    """

    def __init__(self, margins: str = "small") -> None:
        if margins not in MARGINS:
            raise ValueError(f"margins={margins!r}: must be one of {', '.join(MARGINS)}")
        self.margins = torch.tensor(MARGINS[margins])

    def loss(
        self, model: Transformer, batch: PairBatch
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, " B"]]]:
        """`reward_loss` with the margins of the grades, and what is noted."""
        rewards = model(batch.inputs, logits_at=batch.last)[:, 0, 0]
        chosen, rejected = rewards.chunk(2)  # (B,) each
        loss = reward_loss(chosen, rejected, self.margins.to(chosen)[batch.grades])
        noted = {"reward_chosen": chosen, "reward_rejected": rejected}
        difference = chosen - rejected
        return loss, {"margin": difference, "accuracy": won(difference), **noted}


class Share(NamedTuple):
    """How often a reward model and the preferences agree.

    Attributes:
        accuracy: The share of pairs whose chosen answer has the higher reward; ties are halves.
        confidence: What the model itself expects: the mean of ``sigmoid(|difference|)``.
        n: Of how many pairs.
    """

    accuracy: float
    confidence: float
    n: int


def accuracy_by_grade(
    chosen: Float[Tensor, " n"], rejected: Float[Tensor, " n"], grades: Int[Tensor, " n"]
) -> dict[int, Share]:
    """The agreement among the pairs of each grade: table 8 of the paper has it so.

    Args:
        chosen: Rewards of the answers that were preferred.
        rejected: Rewards of the others.
        grades: From 0 to 3.
    """
    difference = (chosen - rejected).double()
    return {int(grade): _share(difference[grades == grade]) for grade in grades.unique()}


def calibration(
    chosen: Float[Tensor, " n"], rejected: Float[Tensor, " n"], n_bins: int = 5
) -> list[Share]:
    """The agreement among the pairs of about equal confidence, from 0.5 to 1 in equal steps.

    A calibrated model is right in 80 % of the cases in which it says so; a bin without pairs is
    left out.

    Args:
        chosen: Rewards of the answers that were preferred.
        rejected: Rewards of the others.
        n_bins: Number of the steps.
    """
    difference = (chosen - rejected).double()
    confidence = difference.abs().sigmoid()
    bins = ((confidence - 0.5) * 2 * n_bins).long().clamp(max=n_bins - 1)
    return [_share(difference[bins == i]) for i in range(n_bins) if (bins == i).any()]


def _share(difference: Float[Tensor, " n"]) -> Share:
    confidence = difference.abs().sigmoid().mean()
    return Share(float(won(difference).mean()), float(confidence), len(difference))


def save_reward_model(model: RewardModel, path: str | Path) -> None:
    """Write a reward model: a folder of its configuration and its weights.

    Raises:
        ValueError: A number of it is not finite.
    """
    state = model.state_dict()
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} of the reward model is not finite: train it again")
    with replace_folder(path) as new:
        contents = {"format": FORMAT, "version": VERSION, "model": model.config.to_dict()}
        write_json(contents, new / CONFIG)
        save_safetensors(state.items(), state, new / TENSORS)


def load_reward_model(path: str | Path) -> RewardModel:
    """Read what `save_reward_model` has written; in eval mode.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is something else, or damaged.
    """
    folder = Path(path)
    if not kind_of(folder / CONFIG):
        raise FileNotFoundError(f"{folder / CONFIG}: no such file; a reward model's folder has one")
    contents = read_object(folder / CONFIG)
    check_version(contents, folder / CONFIG, FORMAT, VERSION)
    try:
        config = ModelConfig.from_dict(contents["model"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error}") from None
    with torch.device("meta"):
        model = RewardModel(config)
    what = f"{folder / TENSORS} is not the reward model of {CONFIG}"
    with open_weights(folder / TENSORS) as file:
        pack_layers(model, packed_parts(file), what)  # where no adapter was merged
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        check_names(file.shapes, shapes, what)
        check_shapes(file.shapes, shapes, what)
        model.load_state_dict({name: file.get(name) for name in shapes}, assign=True)
    return model.eval()
