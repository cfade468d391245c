"""Llama 2's dialog format (:mod:`.dialog`), and a conversation that uses it (:mod:`.session`)."""

from llama_tutorial.chat.dialog import TAGS, Encoder, dialog_turns, encode_dialog

__all__ = ["TAGS", "Encoder", "dialog_turns", "encode_dialog"]
