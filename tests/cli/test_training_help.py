"""The help of the commands that train: every option has a text, and says its default."""

from __future__ import annotations

import argparse

import pytest

from llama_tutorial.cli.parser import make_parser


def actions(command: str) -> list[argparse.Action]:
    parser = make_parser()
    (commands,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return commands.choices[command]._actions


@pytest.mark.parametrize("command", ["pretrain", "finetune", "prefer"])
def test_every_option_has_a_text_and_a_default(command, capsys):
    options = [action for action in actions(command) if action.dest != "help"]
    assert len(options) > 20
    for action in options:
        assert action.help, action.option_strings
        says = "default" in action.help
        shown = action.default is not None and action.default is not False  # by the formatter
        assert says or shown or action.required or action.const is True, action.option_strings
    with pytest.raises(SystemExit):
        make_parser().parse_args([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for key in ("validation_loss", "grad_norm", "tokens_per_s", "metrics.jsonl"):
        assert key in text
    assert "(default: None)" not in text
