"""Text to ids and back: SentencePiece as Meta uses it, the same from scratch, and GPT-2's.

:class:`Tokenizer` (:mod:`.sentencepiece`) is what Llama 2 uses; :class:`BPETokenizer` (:mod:`.bpe`,
trained by :mod:`.bpe_trainer`) is its algorithm written out. Both share :mod:`.base`. The formats
on disk are :mod:`.model_file` and :mod:`.bin_file`. :class:`StopStrings` ends a text at words.
"""

from llama_tutorial.tokenizer.bpe import BPETokenizer
from llama_tutorial.tokenizer.sentencepiece import LLAMA2_TRAINING, Tokenizer, load_tokenizer
from llama_tutorial.tokenizer.stop_strings import StopStrings

__all__ = ["LLAMA2_TRAINING", "BPETokenizer", "StopStrings", "Tokenizer", "load_tokenizer"]
