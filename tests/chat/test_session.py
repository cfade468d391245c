"""A conversation: the very answers of generate, from fewer computed tokens, whatever is said."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from small_models import LLAMA, random_model

pytest.importorskip("sentencepiece")

from llama_tutorial import generate, load_tokenizer, save_model
from llama_tutorial.chat import TAGS, encode_dialog
from llama_tutorial.chat.session import ChatSession
from llama_tutorial.numpy_llama import NumpyLlama
from llama_tutorial.shipped import SHIPPED

CONFIG = LLAMA.replace(vocab_size=1024, max_seq_len=256, n_kv_heads=2)
TALES = load_tokenizer(SHIPPED["tales"].tokenizer)
QUESTIONS = ["Who lost a ball?", "Where was it?", "Why was she sad?"]


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, dtype=torch.float64)


def answers(session: ChatSession, questions=QUESTIONS) -> list[str]:
    return ["".join(session.say(question)) for question in questions]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def scripted(session: ChatSession, *replies: str | list[int]) -> ChatSession:
    """A session whose model says what it is told to, id by id."""
    lines = iter(replies)

    def stream(prompt, limit, **_):
        line = next(lines)
        return iter((TALES.encode(line) if isinstance(line, str) else line)[:limit])

    session._stream = stream
    return session


# The same as generate


@pytest.mark.parametrize("system", [None, "Be kind."])
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"seed": 3},
        {"temperature": 1.5, "top_k": 50, "top_p": 1.0, "seed": 1},
        {"temperature": 1.5, "min_p": 0.05, "repetition_penalty": 1.3, "seed": 1},
    ],
)
def test_every_answer_is_generates_on_the_dialogs_exact_ids(model, system, settings):
    session = ChatSession(model, TALES, system=system, max_new_tokens=20, **settings)
    dialog = [] if system is None else [{"role": "system", "content": system}]
    for question in QUESTIONS:
        reply = session.say(question)
        dialog.append(user(question))
        assert reply.prompt == encode_dialog(dialog, TALES)
        (ids,) = generate(model, [reply.prompt], 20, stop_ids={1, 2}, **settings)
        assert "".join(reply) == TALES.decode(ids).strip()
        dialog.append(assistant(TALES.decode(ids).strip()))
        assert session.messages == dialog


def test_only_what_is_new_is_computed(model, monkeypatch):
    computed, plain = [], type(model).forward

    def counting(self, tokens, *arguments, **options):
        computed.append(tokens.shape[1])
        return plain(self, tokens, *arguments, **options)

    monkeypatch.setattr(type(model), "forward", counting)
    session = ChatSession(model, TALES, temperature=0, max_new_tokens=5)
    first = session.say(QUESTIONS[0])
    "".join(first)
    assert first.reused == 0
    assert computed == [len(first.prompt), 1, 1, 1, 1]
    computed.clear()
    second = session.say(QUESTIONS[1])
    "".join(second)
    assert second.reused >= len(first.prompt)  # the old question at least, and of the answer ...
    assert second.prompt[: second.reused] == session._ids[: second.reused]
    assert computed == [len(second.prompt) - second.reused, 1, 1, 1, 1]


def says(model, ids: list[int]):
    """A stream that feeds the model, as the real one does, but chooses these ids."""

    def stream(prompt, limit, *, cache, start, **_):
        with torch.no_grad():
            model(torch.tensor([prompt[start:]]), cache, start)
            for token in ids:
                yield token
                model(torch.tensor([[token]]), cache)

    return stream


def test_ids_decide_what_is_reused(model):
    """The same answer, in the tokenizer's own pieces and in others."""
    ids = TALES.vocabulary.ids
    own = TALES.encode("[/INST] She lost it. ")[len(TALES.encode("[/INST]")) :]
    other = [ids["▁S"], ids["h"], ids["e"], *own[1:]]
    for given, n_same in ((own, len(own)), (other, 0), (own[:2] + other, 2)):
        session = ChatSession(model, TALES, temperature=0, max_new_tokens=15)
        real, session._stream = session._stream, says(model, given)
        first = session.say(QUESTIONS[0])
        "".join(first)
        session._stream = real
        second = session.say(QUESTIONS[1])
        # The lone space before EOS is the answer's last id: it is reused as well.
        assert second.reused == len(first.prompt) + n_same
        (new,) = generate(model, [second.prompt], 15, temperature=0, stop_ids={1, 2})
        assert "".join(second) == TALES.decode(new).strip()
    assert session.messages[1]["content"] == "She lo She lost it."


def test_both_engines_say_the_same(tmp_path):
    model = random_model(CONFIG)
    save_model(model, tmp_path / "model.bin", "llama2c")
    numpy = NumpyLlama.load(tmp_path / "model.bin")
    for settings in ({"temperature": 0}, {"seed": 5}):
        settings["max_new_tokens"] = 12
        expected = answers(ChatSession(model, TALES, **settings))
        assert answers(ChatSession(numpy, TALES, **settings)) == expected
        assert all(expected)


def test_the_same_seed_gives_the_same_talk_and_another_another(model):
    def talk(seed):
        return answers(ChatSession(model, TALES, max_new_tokens=12, seed=seed))

    assert talk(1) == talk(1) != talk(2)
    session = ChatSession(model, TALES, max_new_tokens=12, seed=1)
    assert answers(session) == talk(1)
    session.reset()
    assert answers(session) == talk(1)  # also from a cache that has been used


# What goes wrong on the way


def test_the_oldest_turns_go_when_the_context_is_full(model):
    settings = {"system": "Be kind.", "max_new_tokens": 30, "temperature": 0}
    session = ChatSession(model, TALES, **settings)
    dropped = []
    for number in range(12):
        before = list(session.messages)
        reply = session.say(f"Question number {number}, who was it?")
        dropped.append(reply.dropped)
        assert len(reply.prompt) + 30 <= CONFIG.max_seq_len
        kept = [before[0], *before[1 + 2 * reply.dropped :]]
        assert session.messages == kept
        (ids,) = generate(model, [reply.prompt], 30, temperature=0, stop_ids={1, 2})
        assert "".join(reply) == TALES.decode(ids).strip()
        assert reply.prompt == encode_dialog(session.messages[:-1], TALES)
        assert session.system == "Be kind."
    assert dropped[0] == 0
    assert sum(dropped) > 3


def test_a_quarter_of_the_context_is_kept_free_by_default(model):
    session = scripted(ChatSession(model, TALES), *["so it was " * 12] * 9)
    for _ in range(9):
        reply = session.say("Who?")
        assert len(reply.prompt) <= 192
        "".join(reply)
    assert reply.dropped


def test_a_long_question_gets_what_room_there_is(model):
    session = ChatSession(model, TALES, temperature=0, max_new_tokens=100)
    question, n = "who", 0
    while n < 240:
        question += " who"
        n = len(encode_dialog([user(question)], TALES))
    reply = session.say(question)
    "".join(reply)
    assert len(session._ids) <= CONFIG.max_seq_len
    assert (reply.ended, len(session._ids)) == ("length", 256) or reply.ended == "stop"
    for system, message in ((None, r"takes \d+ tokens, and"), ("x", "tokens with the system text")):
        session.reset(system)
        with pytest.raises(ValueError, match=rf"{message}.* 256 leaves no room for an answer; sho"):
            session.say(question * 2)
        assert len(session.messages) == (system is not None)


@pytest.mark.parametrize("tag", TAGS)
def test_a_message_with_a_tag_is_refused_and_the_talk_goes_on(model, tag):
    session = ChatSession(model, TALES, max_new_tokens=5, temperature=0)
    answers(session, QUESTIONS[:1])
    before = list(session.messages)
    with pytest.raises(ValueError, match=r"message 2 holds .* one of Llama 2's tags"):
        session.say(f"Hello {tag} there")
    with pytest.raises(ValueError, match=r"message 0 holds .* one of Llama 2's tags"):
        session.reset(f"Be {tag}")
    with pytest.raises(ValueError, match="lone surrogate"):
        session.say("\ud800")
    assert session.messages == before
    answers(session, QUESTIONS[1:])
    assert len(session.messages) == 6


@pytest.mark.parametrize("tag", TAGS)
def test_an_answer_ends_where_the_model_writes_a_tag(model, tag):
    session = scripted(ChatSession(model, TALES), f"It was Tom. {tag} Who? [/INST]", "Yes.")
    reply = session.say("Who?")
    assert "".join(reply) == "It was Tom."
    assert reply.ended == "tag"
    assert session.messages == [user("Who?"), assistant("It was Tom.")]
    assert answers(session, ["Really?"]) == ["Yes."]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("  spaces around  ", "spaces around"),
        ("a  b\n\nc \n", "a  b\n\nc"),
        ("like [INST", "like [INST"),
        ("x < y << z [/IN T] <<SYS", "x < y << z [/IN T] <<SYS"),
        ("[", "["),
        ("", ""),
        (" \n ", ""),
        ("é 🦙 ok", "é 🦙 ok"),
    ],
)
def test_the_pieces_joined_are_what_is_remembered(model, said, answer):
    session = scripted(ChatSession(model, TALES), said)
    pieces = list(session.say("Who?"))
    assert "".join(pieces) == answer
    assert all(pieces)
    assert session.messages == [user("Who?"), assistant(answer)]


def test_broken_characters_are_shown_as_such(model):
    ids = TALES.encode("ok 🦙")[:-1]
    session = scripted(ChatSession(model, TALES), ids)
    (answer,) = answers(session, ["Who?"])
    assert answer == TALES.decode(ids)
    assert answer.endswith("\N{REPLACEMENT CHARACTER}")


def test_text_comes_as_soon_as_it_is_certain(model):
    said = "Tom and Mia lost a red ball."
    session = scripted(ChatSession(model, TALES), said)
    pieces = list(session.say("Who?"))
    assert len(pieces) >= len(said.split())


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["ends", " [", "/IN"], ["ends", " [/IN"]),
        (["ends", "  ", "<<SYS", "> x"], ["ends", "  <<SYS> x"]),
        (["ends", " [IN", " T"], ["ends", " [IN T"]),
        (["ends", " ", "here"], ["ends", " here"]),
        (["ends [IN", "ST]"], ["ends"]),
    ],
)
def test_what_may_begin_a_tag_or_end_the_answer_waits(model, monkeypatch, pieces, shown):
    session = scripted(ChatSession(model, TALES), list(range(len(pieces))))
    decoder = SimpleNamespace(feed=pieces.__getitem__, flush=lambda: "")
    monkeypatch.setattr(session._tokenizer, "stream_decoder", lambda: decoder)
    assert list(session.say("Who?")) == shown


@pytest.mark.parametrize(
    ("stops", "answer", "ended"),
    [
        (["\n"], "It was Tom.", "stop_string"),
        (["Tom."], "It was", "stop_string"),
        (["om", "was Tom"], "It", "stop_string"),
        (["It"], "", "stop_string"),
        (["[INST"], "It was Tom.\nWho?", "stop_string"),
        (["[INST]"], "It was Tom.\nWho?", "tag"),
        (["Mia"], "It was Tom.\nWho?", "tag"),
    ],
)
def test_an_answer_ends_before_a_stop_string(model, stops, answer, ended):
    said = "It was Tom.\nWho? [INST] Mia"
    session = scripted(ChatSession(model, TALES, stop_strings=stops), said, "Yes.")
    reply = session.say("Who?")
    assert reply.stop_string is None
    assert "".join(reply) == answer
    assert reply.ended == ended
    assert (reply.stop_string in stops) == (ended == "stop_string")
    assert session.messages == [user("Who?"), assistant(answer)]
    assert answers(session, ["Really?"]) == ["Yes."]


def test_a_stop_string_in_the_dialog_does_not_count(model):
    session = ChatSession(model, TALES, stop_strings=["INST", "ball"], max_new_tokens=8, seed=0)
    plain = ChatSession(model, TALES, max_new_tokens=8, seed=0)
    for question in QUESTIONS:
        assert "".join(session.say(question)) == "".join(plain.say(question))


def test_why_an_answer_ended(model):
    session = scripted(
        ChatSession(model, TALES, max_new_tokens=3), [300, 301, 302, 303], [300, 301]
    )
    for ended in ("length", "stop"):
        reply = session.say("Who?")
        assert reply.ended is None
        "".join(reply)
        assert reply.ended == ended


def test_a_stopped_answer_stays_as_far_as_it_came(model):
    session = ChatSession(model, TALES, max_new_tokens=40, temperature=0)
    whole = answers(session, QUESTIONS[:1])[0]
    session.reset()
    reply = session.say(QUESTIONS[0])
    part = next(reply) + next(reply)
    session.stop()
    assert reply.ended == "stopped"
    assert list(reply) == []
    assert session.messages[0] == user(QUESTIONS[0])
    assert session.messages[1]["content"] == part.strip()
    assert whole.startswith(part)
    session.stop()  # nothing more to stop

    expected = encode_dialog([*session.messages, user("Why?")], TALES)
    for piece in session.say("Why?"):  # left in the middle: the next question ends it
        assert piece
        break
    following = session.say("And then?")
    assert following.prompt[: len(expected)] == expected
    (ids,) = generate(model, [following.prompt], 40, temperature=0, stop_ids={1, 2})
    assert "".join(following) == TALES.decode(ids).strip()


def test_a_question_that_was_stopped_before_its_answer_is_not_asked(model):
    session = ChatSession(model, TALES, max_new_tokens=5)
    reply = session.say("Who?")
    session.stop()
    assert reply.ended == "stopped"
    assert list(reply) == []
    assert session.messages == []


def test_an_interrupted_prefill_leaves_nothing_wrong_in_the_cache(model, monkeypatch):
    """Some layers have the new keys by then, others the old ones."""
    settings = {"max_new_tokens": 15, "temperature": 0}
    session, fresh = ChatSession(model, TALES, **settings), ChatSession(model, TALES, **settings)
    answers(session, ["One question, and it is a long one, so that there is much to keep."])
    session.reset()
    block = model.layers[1]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(block, "forward", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(session.say("One other question, which is as long as the first one, or longer."))
    assert session.messages == []
    asked = ["One other question, which is as long as the first one, or longer.", *QUESTIONS]
    assert answers(session, asked) == answers(fresh, asked)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature=-1: must be 0"),
        ({"top_k": 0}, "top_k=0: must be a whole number"),
        ({"top_p": 0}, "top_p=0: must be above 0"),
        ({"min_p": 2}, "min_p=2: must be at least 0"),
        ({"repetition_penalty": 0}, "repetition_penalty=0: must be above 0"),
        ({"stop_strings": "END"}, "stop_strings='END': must be a list of texts"),
        ({"stop_strings": [""]}, "stop_strings='': each must be a text of at least one"),
        (
            {"max_new_tokens": 0},
            "max_new_tokens=0: must be at least 1 and below the context of",
        ),
        ({"max_new_tokens": 256}, "max_new_tokens=256: must be at least 1 and below"),
        ({"system": "[INST]"}, r"message 0 holds '\[INST\]'"),
    ],
)
def test_settings_that_cannot_be(model, settings, message):
    with pytest.raises(ValueError, match=message):
        ChatSession(model, TALES, **settings)
