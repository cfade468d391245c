# ruff: noqa: E501 - tables: a row is a line
"""Storms, snow, and getting lost in the dark."""

from __future__ import annotations

TEXT = """
= clouds: -> clouds()
the sky turned [dark|black]
dark clouds came over the roofs
the wind grew cold, and the birds went quiet
a [big|heavy] drop fell on {A.s} nose
it grew dark, and the wind began to howl

= storm: clouds() -> storm()
Boom! Thunder shook the ground
there was a flash of light, and then a loud boom
the rain came down like a river
Thunder rolled, and rain ran down {A.s} face
Boom! A storm had come

= scared: A.mood=scared ->
{A} was [very|so] afraid
{A} began to shake
{A.s} heart beat fast
{A} wanted to be at home in bed
{A} was too afraid to move

= afraid: storm() -> A.mood=scared
{A} was afraid of thunder
{A} jumped at every boom
{A} did not like the noise at all
{A} covered both ears and wanted to be at home
{A} made {A.self} very small

= shelter: storm(), A.where!=p -> A.where=p
{A} ran {p.to} to hide from the rain
{A} ran and ran until {A.he} was {p.at}, out of the rain
{A} saw {p} and ran inside
{A} hurried {p.to}, all wet and cold

= inside: B.where~A.where, storm() -> B.where=A.where
{B.new} was [sitting|hiding] there too
{B.new} was already there
in the corner sat {B.new}
Somebody was there already. It was {B.new}

= comfort B>A: storm(), A.where~B.where -> helped(B,A)
soft: Come and sit with me
soft: Do not be afraid.|It is only noise.
soft: It is warm and dry here, {A.voc}
soft: You are safe here.|The storm will pass.
soft: I do not like thunder either.|Let us be afraid together.

= comfort_told: storm() ->
{B} sang a song so loud that the thunder was hard to hear
{G} told each other funny stories
{G} sat close together and counted after every flash
{B} told {A.o} a [story about the sun|long story about a dragon|funny story]
{G} made a game of it and clapped at every boom

= storm_end: storm() -> !storm(), !clouds(), dry()
the rain stopped, and the sun came out
the storm went away, and everything was shining
it grew quiet, and a rainbow stood in the sky
the last drop fell, and the birds began to sing again
the clouds opened, and there was a rainbow

= end_storm: dry() ->
{A} was never afraid of thunder again
{A} still does not like thunder, but now {A.he} knows a song for it
{G} jumped in every puddle on the way home
after that, {G} always met when it rained
Now {A} thinks of {B.o} every time it rains

= stray: A.where~p -> strayed(A), A.mood=scared
{A} followed a blue butterfly, on and on, until all the paths looked the same
{A} went farther and farther, and then the path was gone
{A} took one wrong turn, and then another
{A} picked berries here and there, and did not see where {A.he} was going
{A} chased a white moth and did not look at the path

= no_way: strayed(A) ->
{A} did not know the way home any more
it grew darker, and nothing looked the way it should
every tree looked like every other tree
{A} called, but only an echo came back
{A} turned left, and {A} turned right, and got more and more lost

= ask_way A>B: strayed(A), A.where~B.where ->
I am lost.|I want to go home.
?: Do you know the way home?
?: Can you help me?|I am lost.
sad: I cannot find the way home

= offer_way B>A: strayed(A), A.where~B.where ->
soft: I know every path here
soft: Come with me.|I know the way.
soft: Do not be afraid.|It is not far.
soft: Stay close to me, {A.voc}

= guide: strayed(A), A.where~B.where -> !strayed(A), A.where=home, B.where=home, helped(B,A), A.mood=glad, back()
{B} led {A.o} all the way home
{B} went ahead, and {A} followed until {A.he} saw the lights of home
{B} took {A.o} home by a secret path
{A} held on to {B.o}, and before long there was the light of home
<B=owl> {B} flew from tree to tree, and {A} followed all the way home
<B=crow> {B} flew ahead, and {A} ran after {B.o} all the way home

= waiting: A.where=home -> C.where=home
{C} was waiting at the door with a light in one hand
{C} was standing at the door and threw both arms around {A.o}
{C} had been so worried

= promise A>C: A.where=home ->
sorry: I will never go so far alone again
sorry: I am sorry.|I will stay on the path.

= end_way: back() ->
After that, {A} always stayed on the path
And {A} never followed a butterfly again
{A} was home, and home had never looked so good
{A} drank warm milk and told the whole story
Now {A} looks at every tree twice, to know the way back

= snow: -> snow()
snow had fallen in the night
everything was white with snow
The first snow lay on the roofs
It had snowed all night long

= build: snow() -> snowman()
{G} rolled two big balls of snow and made a snowman
{G} built a snowman as tall as a door
{G} ran out and built a big, round snowman

= snow_needs A>B: snowman(), A.where~B.where -> needed()
Something is missing
?: But where is the nose?
It looks so cold

= snow_nose: snowman(), x.holder=A -> x.holder=-, x.spot=snowman
<x=carrot> {A} gave the snowman {x.the} for a nose
<x=carrot> {A} pushed {x} into the snow, and there was a nose

= snow_wear: snowman() -> y.holder=-, y.spot=snowman, dressed()
<y:wear> {B} took off {y.own} and put it on the snowman
<y:wear> {B} gave {y.own} to the snowman

= end_snow: snowman(), dressed() ->
The snowman seemed to smile
{G} waved to the snowman from the window that night
In the spring, the snowman was gone, but {G} never forgot that day
"""
