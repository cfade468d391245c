# ruff: noqa: E501 - tables: a row is a line
"""Helping those in need: the stuck, the sick, and things out of reach."""

from __future__ import annotations

TEXT = """
= hear: ->
{A} heard a small voice calling for help
Somewhere, a small voice called for help
{A} stopped. Was that somebody crying?
{A} heard a strange, sad sound

= in_hole: B.where~A.where -> B.where=A.where, stuck(B), B.mood=scared, needed()
{B.new} had fallen into a deep hole
down in a hole sat {B.new}
{A} looked down into a hole, and there was {B.new}
there was {B.new}, deep down in a hole

= in_mud: B.where~A.where -> B.where=A.where, stuck(B), B.mood=scared, needed()
{B.new} was stuck in the mud, up to the nose
there was {B.new}, stuck fast in the mud
{B.new} stood in deep mud and could not get out

= in_tree: B.where~A.where -> B.where=A.where, stuck(B), B.mood=scared, needed()
{B.new} sat high up in a tree and could not get down
{A} looked up, and there in a tree was {B.new}
there was {B.new}, high up in a tree, too afraid to climb down

= help_me B>A: stuck(B) ->
cried: Help!|I cannot get out!
cried: Help me, please!
scared: I am so afraid
sad: I have been here all day

= hold_on A>B: stuck(B) ->
Hold on!|I will get you out.
soft: Do not be afraid.|I will help you.
cried: Wait for me!|I will be right back!
soft: Stay still.|I have an idea.

= try_reach: stuck(B) ->
{A} tried to reach {B.o}, but could not
{A} held out one hand, but it was not enough
{A} pulled with both {A.hands}, but {B} did not move
{A} was too small to do it alone

= fetch: x.holder!=A, needed() -> x.holder=A
{A} ran and came back with {x.new}
{A} hurried off and soon came back with {x.new}
{A} looked around and found {x.new}
{A} remembered {x.new} nearby and went to get it

= rescue: stuck(B), x.holder=A -> !stuck(B), helped(A,B), B.mood=glad
<x=rope> {A} threw one end of {x} to {B.o} and pulled and pulled until {B.n} was free
<x=rope> {B} held one end of {x}, {A} pulled the other, and soon {B.n} was out
<x=rope> {A} tied {x} around a tree, and {B} climbed out
<x=ladder> {A} put {x} up, and {B} climbed to safety, step by step
<x=ladder> with the help of {x.the}, {B} was soon back on the ground
<x=ladder> {A} held {x} still, and {B} came slowly, one step after the other

= promise_help B>A: helped(A,B), A.where~B.where ->
glad: If you ever need help, call me!
glad: You saved me!
glad: One day I will help you, too

= end_rescue: helped(A,B) ->
{A} was a little proud, and {A.he} had every right to be
And so {A} made a new friend
{G} had lunch together that day
After that, {B} looked twice before every step
From that day on, {B} told everyone about brave {A}

= sick: -> sick(B), B.mood=sad, B.where=home, plan()
{B} was sick and had to stay in bed
{B} had a bad cold and could not come out to play
{B} lay in bed with a sore throat
{B} had a fever and did not feel like laughing

= sick_friend: -> sick(B), B.mood=sad, B.where=home, plan()
{A} was worried, because {B.rel} was sick in bed
{A} wanted to play with {B.rel}, who was sick in bed
{A} missed {B.rel}, who lay in bed with a cold

= cheer_plan: sick(B) ->
{A} wanted to make {B.o} smile
{A} thought hard about how to make {B.o} feel better
{A} wanted to bring {B.o} something nice

= sit_by: A.where~B.where, plan() ->
{A} sat by the bed and told {B.o} a long, funny story
{A} sat beside {B.o} and sang a silly song
{A} stayed all afternoon and told {B.o} about the world outside
{A} made funny faces until {B} laughed

= smile: sick(B) -> B.mood=glad
for the first time that day, {B} smiled
{B} sat up and smiled
{B} laughed for the first time in days
{B} forgot all about the cold

= well: sick(B) -> !sick(B), cured()
{B} was well again
{B} was up and ran out to play
{B} could get out of bed

= end_sick: cured() ->
{G} played in the sun again
The doctor was surprised, but {B} knew that it was {A.o}
From then on, {G} never let each other be sick alone
A good friend is the best medicine

= stuck_up: x.holder=A -> x.holder=-, stuck_up(x), x.loser=A, A.mood=sad
<x:wind> the wind blew {x} into the top of a tall tree
<x:wind> a gust of wind carried {x} up into a tree, and there it hung
{A} threw {x} too high, and {x.it} got stuck in a tree
{A} tossed {x} up, and {x.it} did not come down. It was stuck in a tree!

= jump_for: stuck_up(x), x.loser=A ->
{A} jumped and jumped, but {x} was too high
{A} shook the tree, but {x} did not move
{A} tried to climb up, but slid down again
{A} threw a shoe at {x}, and now the shoe was up there too

= ask_reach A>B: stuck_up(x), x.loser=A, A.where~B.where -> asked(A,B)
?: Can you get {x.my} down?
?: Can you help me?|{x.my} is in that tree.
Please help me.|{x.my} is up there.

= cannot_reach B>A: asked(A,B), A.where~B.where ->
no: I am too small
no: I cannot climb, {A.voc}
no: I want to help, but I am too short
no: No, but two are better than one

= get_down: stuck_up(x), x.loser=A -> x.holder=A, x.loser=-, !stuck_up(x), helped(B,A), A.mood=glad, good()
{A} stood on top of {B.o} and could just reach {x}
{B} climbed up, branch by branch, and threw {x} down to {A.o}
<B=crow> {B} flew up and dropped {x} into {A.s} {A.hands}
<B=owl> {B} flew up and dropped {x} into {A.s} {A.hands}
<B=squirrel> {B} ran up the trunk and threw {x} down to {A.o}

= three_high: stuck_up(x), x.loser=A -> x.holder=A, x.loser=-, !stuck_up(x), helped(B,A), helped(C,A), A.mood=glad, good()
{C} stood on {B.o}, {A} stood on {C.o}, and {A} could just reach {x}
{A} climbed on {B.o}, {C} climbed on {A.o}, and {x} came down at last
{A} stood on {B.o}, {B} stood on {C.o}, and at the very top {A} took hold of {x}

= end_tower: good() ->
Nobody could have done it alone
From then on, {A} played far away from trees
Together, even the small can be tall

= baby: -> fallen()
{A} found a baby bird that had fallen out of the nest
there, in the grass, lay a baby bird
under a tree sat a tiny bird that could not fly yet

= nest_high: fallen() ->
the nest was high up in a tree, much too high
high above, the mother bird cried and cried
{A} could see the nest, but could not reach it

= run_for: fallen() ->
{A} ran to get {B.o}
{A} ran and called {B.o}
{A} looked around for help, and there was {B.new}
{A} ran to {B.new} and asked for help

= bring_tool: fallen(), x.holder!=B -> x.holder=B
{B} came with {x.new}
{B} ran and brought {x.new}

= carry_up: fallen(), x.holder=B -> !fallen(), home_again()
{B} held {x}, and {A} climbed up and put the bird back into the nest
{A} climbed up {x.the} and set the bird down in the nest, as soft as snow
{G} put {x} up and carried the little bird home to the nest

= end_bird: home_again() ->
The mother bird sang a song of thanks all day long
In the summer, the bird learned to fly
Every morning after that, a bird sang at {A.s} window
"""
