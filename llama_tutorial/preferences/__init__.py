"""Learning from preferences: Llama 2 Chat's second half, at a size where the reward is true.

From the losses up: :mod:`.losses` (a reward model's, and DPO's), :mod:`.pair_file`,
:mod:`.batches`, :mod:`.pair_method`, :mod:`.reward_model`, :mod:`.dpo`, :mod:`.rejection` (the best
of several samples), :mod:`.ppo`, :mod:`.ghost` (ghost attention); and :mod:`.truth`: the story
world knows what holds in a tale, so here a reward can be compared with what it stands for.
"""

from llama_tutorial.preferences.losses import dpo_loss, reward_loss, sequence_logprobs
from llama_tutorial.preferences.pair_file import Pair, read_pairs
from llama_tutorial.preferences.reward_model import RewardModel

__all__ = ["Pair", "RewardModel", "dpo_loss", "read_pairs", "reward_loss", "sequence_logprobs"]
