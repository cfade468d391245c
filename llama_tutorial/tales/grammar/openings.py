"""How tales begin: who there is, what they have, what they wish for."""

from __future__ import annotations

TEXT = """
= once: ->
Once upon a time, there was {A.new}
Once there was {A.new}
There once was {A.new}
Long ago, in a [small|quiet|sleepy] village, there lived {A.new}
In a little house [by the sea|at the end of the road|with a red door|under a tall tree] lived {A.new}
At the edge of town lived {A.new}
{A.new} lived in a [small|cozy|crooked] house [by the sea|near the mill|with a green roof]
{A} was {A.kind} [who loved to laugh|with a very loud laugh|who asked a lot of questions|who could not sit still]
{A} was {A.kind} with [big|bright] eyes and [a kind heart|a warm smile|many ideas]
Everyone in the village knew {A.new}
This is a story about {A.new}

= pair: ->
Once upon a time, there were two friends, {G.n}
{G.n} were [best|good|very good] friends
{G.n} lived [side by side|next door to each other|on the same street]
Two friends, {G.n}, lived [by the sea|at the edge of town|on a quiet street]
{G.n} did everything together
Nobody laughed as much as {G.n}

= have: -> x.holder=A, x.owner=A
{A} had {x.new}
{A} had {x.new} and took {x.it} everywhere
{A} had {x.new} that [shone in the sun|was better than any other|everyone liked]
{A} never went anywhere without {x.own}
{A} was very proud of {x.own}
{A} loved {x.own} more than anything [|else ]in the world
more than anything, {A} loved {x.own}
The thing {A} loved [best|most] was {x.new}
{A} had just been given {x.new}
For a birthday present, {A} had been given {x.new}
{A} kept {x.own} close, even at night

= food: -> x.holder=A, x.owner=A
{A} had {x.new} for lunch
{A} was very hungry and had {x.new}
In {A.s} lunch bag was {x.new}
{A} had saved {x.new} all [day|morning]
{A} sat down to eat {x.new}
{A} could not wait to eat {x.own}

= flavor: x.holder~A ->
<x=kite> It had a long tail and danced in the wind
<x=kite> When it flew, it looked like a bird
<x=drum> It went boom, boom, boom
<x=drum> It was loud enough to wake the whole street
<x=ball> It could jump higher than the roof
<x=ball> It went bump, bump, bump on the ground
<x=doll> It had button eyes and a tiny smile
<x=doll> It had a dress with two pockets
<x=boat> It had a white sail and a tiny flag
<x=boat> It had never been on the water
<x=puppet> It could nod and wave
<x=puppet> It had a funny long nose
<x=balloon> It danced at the end of its string
<x=train> It had four wheels and went choo, choo
<x=wagon> One of its wheels went squeak, squeak
<x=hoop> It rolled as fast as the wind
<x=marble> There was a tiny swirl inside, like a cloud
<x=book> It was full of dragons and ships
<x=book> It had a picture on every page
<x=whistle> It was so loud that birds flew up
<x=flute> It sounded like a bird in spring
<x=bell> It made a sound like a tiny song
<x=bell> It went ting, ting, ting
<x=pinwheel> It turned and turned in the wind
<x=hat> It was a little too big
<x=hat> It made everyone smile
<x=cap> It kept the sun out of both eyes
<x=scarf> It was as soft as a cloud
<x=ribbon> It was as smooth as water
<x=crown> It was made for a king or a queen
<x=ring> It shone like a star
<x=umbrella> It was as big as a tent
<x=lamp> It gave a warm yellow light
<x=map> It showed every path in the land
<x=key> Nobody knew what it could open
<x=coin> It had a ship on one side
<x=shell> It sounded like the sea
<x=stone> It was as smooth as an egg
<x=feather> It was as light as air
<x=cup> It had a picture of the moon on it
<x=blanket> It smelled of soap and sun
<x:food> It smelled so good

= want: x.holder!=A -> A.wants=x
{A} wanted {x.a} [more than anything|very much|so badly]
{A} had [always|long] wanted {x.a}
{A} wished for {x.a} every [single day|night]
What {A} wanted most was {x.a}
Every night {A} dreamed of {x.a}
All the others had {x.a}, but {A} did not
"""
