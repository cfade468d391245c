"""What is so, and the rules that events follow."""

from __future__ import annotations

from llama_tutorial.tales.world import World, parse_rules


def test_rules():
    world = World()
    roles = {
        "A": "Tom",
        "B": "Mia",
        "x": "kite",
        "p": "park",
        "s": "under the bench",
        "G": ("Tom", "Mia"),
    }

    def fault(text: str) -> str | None:
        return world.fault(parse_rules(text)[0], roles)

    def make(text: str) -> None:
        for rule in parse_rules(text):
            world.make(rule, roles)

    assert fault("x.holder=A") == "holder of kite is None, not = Tom"
    make("x.holder=A, helped(A,B), A.where=p")
    assert fault("x.holder=A") is None
    assert fault("x.holder!=A") == "holder of kite is Tom, not != Tom"
    assert fault("helped(A,B)") is None
    assert "is not so" in fault("helped(B,A)")
    assert "is so" in fault("!helped(A,B)")
    assert fault("B.where~A.where") is None  # nobody has said where Mia is
    assert fault("s@A") is None
    make("B.where=home, A.where=barn")
    assert fault("B.where~A.where") is not None
    assert fault("s@A") is not None
    make("G.where=p, x.holder=-, !helped(A,B)")
    assert world.facts["where", "Mia"] == world.facts["where", "Tom"] == "park"
    assert ("holder", "kite") not in world.facts
    assert fault("x.holder=C") == "it is not clear who or what is meant"
