# ruff: noqa: E501 - tables: a row is a line
"""Losing, looking for, and finding."""

from __future__ import annotations

TEXT = """
= lose: x.holder=A -> x.holder=-, x.loser=A, A.mood=sad
<x:wind> a [strong|cold] gust of wind pulled {x} [out of {A.s} {A.hands}|away from {A.o}]
<x:wind> the wind blew hard and carried {x} away from {A.o}
<x:wind> Whoosh! The wind took {x} [right |]out of {A.s} {A.hands}
<x:wind> {A} let go of {x} for just a moment, and the wind took {x.it} away
<x:wind> {A} sneezed so hard that {x} flew away
<x:roll> {A} tripped, and {x} rolled away
<x:roll> {x.the} slipped out of {A.s} {A.hands} and rolled away
<x:roll> {A} dropped {x}, and {x.it} rolled and rolled until it was gone
<x:roll> Bump! {A} dropped {x}, and {x.it} rolled away
<x:small> there was a hole in {A.s} pocket, and {x} fell out
<x:small> {x.the} fell out of {A.s} pocket without a sound
<x:small> {A} jumped over a puddle, and {x} fell out of {A.his} pocket
{A} put {x} down to watch a [butterfly|beetle|snail], and then forgot all about {x.it}
{A} looked up at the clouds and dropped {x} without noticing
{A} set {x} down for a moment and could not remember where
{A} ran after a butterfly and left {x} somewhere
{A} stopped to tie a shoe and left {x} behind

= notice: x.loser=A ->
When {A} looked [around|up|back], {x} was gone
When {A} reached for {x}, {x.it} was gone
{A} wanted to go home, but {x} was gone
{A} turned around, and {x} was not there any more
After a while, {A} noticed that {x} was gone

= cry_lost A>B: x.loser=A ->
cried: Oh no!|{x.my} is gone!
cried: {x.my}!|I cannot find {x.my}!
sad: I have lost {x.my}
sad: {x.my} is gone|What shall I do?
?: Where is {x.my}?|I had it a moment ago!
?: Where, oh where, is {x.my}?
sad: I only looked away for a moment, and {x.my} was gone

= search: x.loser=A, x.spot!=s, s@A -> looked(A,s)
{A} looked {s}, but {x} was not there
{A} looked {s} and found only [a sleepy snail|an old shoe|some dry leaves|a beetle]
{A} looked {s}. There was nothing there but [leaves|a beetle|a snail]
{A} [felt|searched] {s}. Nothing!
{A} crawled around and looked {s}, but there was {x.no}
it was not {s}
there was {x.no} {s}
{A} looked {s} two times, but {x.it} was not there

= search_two: x.loser=A, x.spot!=s, x.spot!=t, s@A, t@A -> looked(A,s), looked(A,t)
{A} looked {s} and {t}, but {x} was nowhere
{A} looked {s}. {A} looked {t}. Nothing!
there was {x.no} {s}, and there was {x.no} {t}
Was it {s}? No. Was it {t}? No again
{A} searched {s}, then {t}, but found only [leaves|a snail|a beetle]

= ask_seen A>B: x.loser=A, A.where~B.where -> asked(A,B)
?: Have you seen {x.my}?
?: Have you seen {x.my}, {B.voc}?
?: Did you see {x.my} [anywhere|somewhere]?
?: Please, have you seen {x.a}?|I lost it here.
?: Can you help me?|I cannot find {x.my}.

= ask_what B>A: A.mood=sad, A.where~B.where ->
soft: What is wrong?
soft: What is the matter, {A.voc}?
soft: Why are you so sad?
soft: Why do you look so sad, {A.voc}?
soft: You look as if it had rained on your birthday

= help_offer B>A: A.where~B.where -> helping(B,A)
soft: Do not be sad.|I will help you look.
soft: Do not worry, {A.voc}.|We will find it together.
glad: I am good at finding things!|Let us look together.
soft: Four eyes see more than two
soft: I will help you.|It cannot be far.

= clue B>A: x.loser=A -> x.spot=s, helped(B,A)
yes: Yes, I saw it {s}
yes: I think I saw [something|it] {s}
?: Did you look {s}?
yes: Look {s}.|Lost things like to hide there.
glad: Something fell {s}.|Go and see!
yes: There is something {s}

= find: x.loser=A, x.spot~s, s@A -> x.holder=A, x.spot=-, x.loser=-, A.mood=glad, found(A,x,s)
{A} looked {s}, and there was {x.the}
there it was, {s}! {A} picked {x} up
there, {s}, lay {x.the}, and {A} picked {x.it} up
And there was {x.the}, {s}! {A} picked {x.it} up with a shout of joy
{A} reached {s} and pulled {x} out
{A} sat down to think, and there, {s}, was {x.the}
<x:small> {A} saw something [shine|move] {s}. It was {x.the}

= find_there: x.loser=A, x.spot~s, s@A -> x.holder=A, x.spot=-, x.loser=-, A.mood=glad, found(A,x,s), good()
{A} ran to look, and there was {x.the}, {s}
{A} ran and looked {s}. There was {x.the}!
And sure enough, {A} found {x} {s}
{A} hurried to look {s}, and there was {x.the}!
It was true! {A} found {x} {s}

= find_for: x.loser!=B, x.spot~s, s@B -> x.holder=B, x.spot=-, found(B,x,s)
{B} looked {s} and found {x}
{B} felt around {s} and pulled {x} out
it was {B.n} who looked {s} and found {x}
there was {x.the}, {s}! {B} picked {x.it} up
{B} searched here and there, and {s} was {x.the}
{B} called out, for {s} lay {x.the}

= here B>A: x.holder=B, x.loser=A, A.where~B.where -> x.holder=A, x.loser=-, A.mood=glad, helped(B,A), good()
glad: Here is {x.your}!
proud: I have it!|Here is {x.your}, {A.voc}.
glad: Look what I found!|Is this {x.your}?
glad: Here you are, {A.voc}.|It was {s} all the time.
proud: It was {s}!|Here is {x.your}.

= bring_back: x.holder=B, x.loser=A, A.where~B.where -> x.holder=A, x.loser=-, A.mood=glad, helped(B,A), good()
{B} ran back and gave {x} to {A.o}
{B} put {x} into {A.s} {A.hands}
{B} brought {x} back to {A.o}

= kept_safe: x.holder=A ->
{A} held {x} tight all the way home
{A} put {x} [beside the bed|under the blankets], just to be sure
<x:wind> {A} held on to {x} with both {A.hands} when the wind blew
{A} never left {x} [alone|behind] again
{A} kept {x} close and never lost {x.it} again
{A} did not let go of {x} again
{A} looked for {x} every evening, and every evening it was there
"""
