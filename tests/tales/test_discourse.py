"""What a pronoun means."""

from __future__ import annotations

from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.world import Being


def test_pronouns_mean_the_subject_first_then_the_last_sentence():
    beings = {n: Being(n, "boy", "he") for n in ("Tom", "Ben")} | {
        "Mia": Being("Mia", "girl", "she")
    }
    talk = Discourse()
    assert talk.person("he", beings) is None
    for name in ("Mia", "Tom", "Ben"):
        talk.mention(name)
    talk.next_sentence()
    assert talk.person("he", beings) == "Tom"
    assert talk.person("he", beings, exclude=["Tom"]) == "Ben"
    assert talk.person("she", beings) == "Mia"
    assert talk.clear("Mia", beings, True)
    assert not talk.clear("Ben", beings, True)
    assert set(talk.they()) == {"Mia", "Tom", "Ben"}
    assert talk.other("Ben") == "Tom"
    talk.mention_thing("kite")
    assert talk.thing_clear("kite")
    talk.mention_thing("ball")
    assert not talk.thing_clear("ball")
