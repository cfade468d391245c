"""Conversations about tales: well formed, right in every answer, and within their room."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from llama_tutorial.chat import dialog_turns, encode_dialog
from llama_tutorial.tales import NOT_SAID, consistency, questions, tales
from llama_tutorial.tales.dialogs import SMALL_TALK, ask, dialogs, request
from llama_tutorial.tales.words import GENDER, THINGS

TALK = {said: answer for texts, answer in SMALL_TALK for said in texts}


@pytest.fixture(scope="module")
def told() -> list[list[tuple[str, str]]]:
    """Questions and answers of each dialog."""
    found = [[message["content"] for message in dialog] for dialog in dialogs(300, seed=900)]
    return [list(zip(contents[::2], contents[1::2], strict=True)) for contents in found]


def is_tale(text: str) -> bool:
    return len(text) > 200


def about(turns: list[tuple[str, str]]) -> list[str]:
    """The tales of a dialog: told by the assistant, or given with a question."""
    texts = [part.split("\n")[0] for turn in turns for part in turn]
    return [text for text in texts if is_tale(text)]


def test_a_dialog_is_llamas():
    for dialog in dialogs(50):
        assert dialog_turns(dialog)[-1][1] is not None


def test_the_same_every_time_and_each_by_its_number():
    first = list(dialogs(6, seed=3))
    assert first == list(dialogs(6, seed=3))
    assert first[4:] == list(dialogs(2, seed=7))
    assert first != list(dialogs(6, "validation", 3))


def test_the_same_for_ever():
    """The shipped chat model was tuned on these very dialogs."""
    text = json.dumps(list(dialogs(200)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "d09193439e692068"


def test_tales_are_told_and_given_and_some_dialogs_hold_two(told):
    counts = [len(about(turns)) for turns in told]
    assert set(counts) == {1, 2}
    assert counts.count(2) > 100
    assistants = sum(is_tale(answer) for turns in told for _, answer in turns)
    assert 0.2 < assistants / sum(counts) < 0.4


def test_every_tale_is_whole_and_consistent(told):
    for turns in told[:60]:
        for text in about(turns):
            assert consistency(text).score == 1


def answers_of(tale) -> dict[str, str]:
    return {question.text: question.answer for question in questions(tale)}


def test_every_answer_is_the_tales_own():
    pairs = tales(2 * 200, seed=2 * 40)
    for dialog, tale, other in zip(dialogs(200, seed=40), pairs, pairs, strict=True):
        right = answers_of(tale) | answers_of(other)
        for question, answer in zip(dialog[::2], dialog[1::2], strict=True):
            said, got = question["content"].split("\n")[-1], answer["content"]
            if is_tale(got):
                assert got in (tale.text, other.text)
            elif said in TALK:
                assert got == TALK[said]
            else:
                assert got in (right[said], NOT_SAID), (said, got)


def test_what_is_asked_of_one_tale_is_not_in_the_other(told):
    """So nobody is asked about the kite where there are two."""
    for turns in told:
        if len(both := about(turns)) == 2:
            names = [{*GENDER, *THINGS} & set(re.findall(r"\w+", text)) for text in both]
            assert not names[0] & names[1], both


def test_said_and_not_said_are_in_balance(told):
    answers = [answer for turns in told for _, answer in turns if not is_tale(answer)]
    assert 0.3 < sum(answer == NOT_SAID for answer in answers) / len(answers) < 0.55


def test_small_talk_and_questions_before_any_tale(told):
    openings = [turns[0] for turns in told]
    assert any(said in TALK for said, _ in openings)
    untold = [(q, a) for q, a in openings if not is_tale(q) and not is_tale(a) and q not in TALK]
    assert untold
    assert all(answer == NOT_SAID for _, answer in untold)


def test_room_is_kept():
    def length(dialog) -> int:
        return sum(len(message["content"]) for message in dialog)

    long = list(dialogs(60, seed=5))
    for room in (900, 1500):
        found = list(dialogs(60, seed=5, room=room, length=length))
        assert all(length(dialog) <= room for dialog in found)
        assert max(map(length, found)) > 0.9 * room
        for short, whole in zip(found, long, strict=True):
            contents = [message["content"] for message in whole]
            assert all(message["content"] in contents for message in short)


def test_no_room_at_all_is_an_error():
    with pytest.raises(ValueError, match="room=1: no turn of dialog 7 fits; give more room"):
        list(dialogs(1, seed=7, room=1))


def test_without_room_for_its_tale_nothing_is_asked_of_it():
    for dialog in dialogs(80, seed=11, room=900, length=lambda turn: len(str(turn))):
        asked = [q["content"] for q in dialog[::2]]
        texts = about(list(zip(asked, (a["content"] for a in dialog[1::2]), strict=True)))
        for question in asked:
            names = {*GENDER, *THINGS} & set(re.findall(r"\w+", question))
            answer = dialog[2 * asked.index(question) + 1]["content"]
            if names and answer != NOT_SAID and not is_tale(answer) and not is_tale(question):
                assert any(names <= set(re.findall(r"\w+", text)) for text in texts)


# -- one question -------------------------------------------------------------------------------


def test_a_tale_is_given_or_was_told():
    (tale,) = tales(1, "test")
    question = questions(tale)[0]
    (given,) = ask(tale, question)
    assert given == {"role": "user", "content": f"{tale.text}\n{question.text}"}
    first, told, asked = ask(tale, question, "told")
    assert first == {"role": "user", "content": request(tale)}
    assert told == {"role": "assistant", "content": tale.text}
    assert asked == {"role": "user", "content": question.text}
    with pytest.raises(ValueError, match="how='sung': must be 'told' or 'given'"):
        ask(tale, question, "sung")


def test_a_request_names_what_the_tale_has():
    for tale in tales(100, "test"):
        for word in {*GENDER, *THINGS} & set(re.findall(r"\w+", request(tale))):
            assert word in tale.text


class Characters:
    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        return [1] * bos + [ord(c) for c in text] + [2] * eos


def test_it_can_be_asked_of_a_model():
    (tale,) = tales(1)
    for how in ("told", "given"):
        assert encode_dialog(ask(tale, questions(tale)[0], how), Characters())[-1] == ord("]")
