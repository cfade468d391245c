# ruff: noqa: E501 - tables: a row is a line
"""How tales begin: who there is, what they have, what they wish for."""

from __future__ import annotations

TEXT = """
= once: ->
Once upon a time, there was {A.new}
Once there was {A.new}
There once was {A.new}
Long ago, in a [small|quiet|sleepy] village, there lived {A.new}
In a little house [by the sea|at the end of the road|with a red door|under a tall tree] lived {A.new}
At the edge of [town|a big city|a dark wood] lived {A.new}
{A.new} lived in a [small|cozy|crooked] house [by the sea|near the mill|with a green roof]
{A} was {A.kind} [who loved to laugh|with a very loud laugh|who asked a lot of questions|who could not sit still|who was never bored]
{A} was {A.kind} with [big|bright] eyes and [a kind heart|a warm smile|many ideas|muddy feet]
{A} was {A.kind} who [was afraid of almost nothing|could talk all day|liked to sing in the rain|loved the smell of summer]
Everyone in [town|the village] knew {A.new}
This is a story about {A.new}
Far away, between two mountains, lived {A.new}
Not so long ago, there was {A.new}

= pair: ->
Once upon a time, there were two friends, {G.n}
Once there were two friends, {G.n}
{G.n} were [best|good|very good] friends
{G.n} lived [side by side|next door to each other|on the same street]
Two friends, {G.n}, lived [by the sea|at the edge of town|on a quiet street]
{G.n} did [everything together|almost everything together]
Nobody laughed as much as {G.n}
{G.n} had been friends [for a long time|since the first day of school]
Every day after breakfast, {G.n} met to play
It was hard to find better friends than {G.n}

= with_kin: -> B.where=A.where
{A} lived with {B.o} in a house [near the sea|with a garden gate|under a hill|by the mill]
{A} was spending the summer with {B.o}
{A} liked to be with {B.o}
{A} often went to see {B.o}
on Sundays, {A} always went to see {B.o}

= have: -> x.holder=A, x.owner=A
{A} had {x.new}
{A} had {x.new} and took it everywhere
{A} had {x.new} that [shone in the sun|everyone liked|nobody else could touch]
{A} had {x.new}, and there was no better one in the whole town
{A} never went anywhere without {x.own}
{A} was very proud of {x.own}
{A} loved {x.own} more than anything [|else ]in the world
more than anything, {A} loved {x.own}
The thing {A} loved [best|most] was {x.new}
{A} had just been given {x.new}
for a birthday present, {A} had been given {x.new}
{A} kept {x.own} close, even at night
{A} had saved up for a long time and bought {x.new}
{A} had found {x.new} under the tree on a birthday morning

= food: -> x.holder=A, x.owner=A
{A} had {x.new} for lunch
{A} was very hungry and had {x.new}
in {A.s} lunch bag was {x.new}
{A} had saved {x.new} all [day|morning]
{A} sat down to eat {x.new}
{A} could not wait to eat {x.own}
{A} had {x.new}, and it smelled wonderful

= flavor: x.holder=A ->
<x=kite> It danced in the wind
<x=drum> It went boom, boom, boom
<x=ball> It went bump, bump, bump on the ground
<x=doll> It had a tiny smile
<x=boat> It had never been on the water
<x=puppet> It had a funny long nose
<x=balloon> It danced at the end of its string
<x=book> It was full of funny stories
<x=whistle> It was so loud that birds flew up
<x=flute> It sounded like a bird in spring
<x=bell> It sounded like a tiny song
<x=pinwheel> It turned and turned in the wind
<x=hat> It was a little too big
<x=hat> It made everyone smile
<x=scarf> It was as soft as snow
<x=ring> It shone like a star
<x=umbrella> It was as big as a house
<x=map> It showed every path in the land
<x=key> Nobody knew what it could open
<x=shell> It sounded like the sea
<x=stone> It was as round as the moon
<x=feather> It was as light as air
<x=cup> It had a picture of the moon on it
<x=pinecone> It smelled of summer
<x:food> It smelled so good
"""
