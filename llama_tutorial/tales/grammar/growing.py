# ruff: noqa: E501 - tables: a row is a line
"""Seeds, baking, keys and old boxes, and things that belong to somebody else."""

from __future__ import annotations

TEXT = """
= seed: A.where~B.where -> seed(A)
{B} gave {A.o} a tiny seed
{B} put a small, brown seed into {A.s} {A.hands}
{A} was given a tiny seed by {B.o}

= seed_said B>A: seed(A), A.where~B.where ->
It is small, but it is strong
soft: Give it water, sun and time
Plant it and wait

= plant: seed(A), A.where~p -> !seed(A), planted()
{A} planted it {p.at}
{A} made a hole with one finger and planted the seed {p.at}
{A} dug a small hole {p.at} and put the seed in

= water: planted() -> watered()
{A} gave it water every day
every morning, {A} ran out to water it
{A} watered it, sang to it and waited

= nothing: planted(), watered() ->
nothing happened, and {A} grew sad
there was nothing to see but brown earth
One week went by, then two, and nothing grew
{A} looked and looked and saw only earth

= patience B>A: planted(), A.where~B.where, watered() ->
soft: Wait a little longer
soft: Good things take time
soft: It is working under the ground, where you cannot see it
soft: Do not give up, {A.voc}

= sprout: planted(), watered() -> sprouted()
a tiny green tip came out of the earth
there was something green
the rain came, then the sun, and a green leaf looked out

= grown: planted(), sprouted() -> x.holder=A, x.owner=A
it grew and grew until {A} had {x.new}
By the end of summer, {A} had {x.new}
the leaves grew big, and one morning {A} saw {x.new}

= end_grow: x.holder=A ->
{A} was proud of {x}, and a little proud of waiting
And out of {x}, {A} got a hundred new seeds
<x=pumpkin> {A} made soup out of {x} for the whole street
<x=sunflower> {x.the} was as tall as a house
<x=flower> There was no better one in the village

= bake_plan: ->
{G} wanted to bake {x.a}
{G} put on aprons, for {G.they} wanted to bake {x.a}
It was a good day to bake {x.a}, so {G} put on aprons

= missing: -> missing()
But there were no eggs left
But there was no honey in the jar
But the flour was all gone
{A} opened the cupboard, and there was no milk

= borrow: missing(), C.where~A.where -> asked(A,C)
{A} ran next door and asked {C.new} for some
{A} went to ask {C.new}, who lived next door
{A} knocked on the door of {C.new}

= lend_egg C>A: asked(A,C) -> helped(C,A), !missing()
glad: Take as much as you need.|But save me a bite!
glad: Of course!|What are you baking?
glad: Here you are.|It smells of a party!

= bake: !missing() -> baked(x)
{G} mixed and stirred, and soon {x.new} came out of the oven
there was flour on every nose, and at last {x.new} stood on the table
{G} stirred and tasted and stirred, and out came {x.new}

= eat_baked: baked(x) -> !baked(x), eaten(x)
{G} ate {x} while it was still warm
{G} cut {x} into pieces and ate every crumb
{G} shared {x}, and there was not one crumb left

= end_bake: eaten(x) ->
And the biggest piece was for {C.o}
The whole house smelled good for days
Even the flour on the floor did not matter
{A} brought a piece to {C.o}, as promised

= find_key: x.holder!=A -> x.holder=A
{A} found {x.new} {s}
{A} looked {s} and found {x.new}
something shone {s}. It was {x.new}
{s}, {A} found {x.new}

= wonder: x.holder=A ->
what could it open?
{A} wondered what it could open
{A} turned it this way and that way

= try_key: x.holder=A ->
{A} tried {x} in every door, but it did not fit
It did not fit the front door, and it did not fit the back door
{A} tried {x} in the door of the shed, but it would not turn

= box: s@A -> box()
{s}, {A} saw an old box
{A} found an old box {s}
there was an old box {s}

= open: box(), x.holder=A -> y.holder=A, y.owner=A, A.mood=glad
{A} turned {x}. Click! Inside lay {y.new}
{x.the} fit, and inside was {y.new}
{A} opened the box with {x} and found {y.new}
Click, went {x}, and in the box lay {y.new}

= end_key: y.holder=A ->
Somebody must have hidden it there long ago
{A} kept {y} for years, and told the story again and again
And {A} hid {x} again, so that somebody else could find it
{A} felt like a real pirate

= find_strange: x.holder!=A -> x.holder=A
{A} found {x.new} in the grass
there, on the ground, lay {x.new}, and {A} picked it up
{A} saw {x.new} on the path and picked it up

= tempted: x.holder=A ->
{A} wanted to keep {x} very much
nobody was around, and {A} put {x} into a pocket
it was so fine that {A} wanted to keep it
But {A} knew that somebody must be looking for {x}
somebody must be sad, thought {A.n}

= ask_owner A>B: x.holder=A, A.where~B.where -> asked(A,B)
?: Is {x.this} yours?
?: Did you lose {x.a}?
I found {x.a}.|Do you know whose it is?

= not_mine B>A: asked(A,B), A.where~B.where ->
No, it is not mine
No, I have never seen it before
Not me.|Ask the others.

= owner_comes: -> C.mood=sad
{C.new} came by and looked at the ground with sad eyes
{C.new} was walking up and down and looking under every bush
{C.new} came by, crying

= owner_said C>A: x.owner~C -> x.owner=C
sad: I lost {x.my} here
?: Have you found {x.a}?|I lost it.
sad: I have looked everywhere for {x.my}

= return: x.holder=A, x.owner=C, A.where~C.where -> x.holder=C, helped(A,C), C.mood=glad, good()
{A} held {x} up and gave it to {C.o}
{A} did not wait and gave {x} to {C.o}
{A} smiled and put {x} into {C.s} {C.hands}

= return_said A>C: x.holder=A, x.owner=C, A.where~C.where -> x.holder=C, helped(A,C), C.mood=glad, good()
glad: Is it this one?|Here you are!
glad: Do not cry.|Here is {x.your}!

= end_return: helped(A,C) ->
{A} went home with empty {A.hands} and a full heart
{A} had nothing in {A.his} {A.hands} now, but felt very rich
And {A} was glad that {A.he} had not kept it
"""
