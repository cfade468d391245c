"""Going somewhere, being there, meeting somebody, playing."""

from __future__ import annotations

TEXT = """
= go: A.where!=p -> A.where=p
{A} went {p.to}
{A} [walked|ran|hurried] {p.to}
{A} set off for {p}
{A} made {A.his} way {p.to}
{A} took the [short|long] way {p.to}

= stroll: A.where!=p -> A.where=p
{A} went {p.to} [to play|for a walk|all alone|to look around]
{A} [skipped|marched] {p.to}
{A} [walked|skipped] {p.to} [and sang|with a smile|without a care]
{A} felt like a walk and went {p.to}
{A} had nothing to do and went {p.to}
{A} put on a coat and went {p.to}
{A} was {p.at}, doing nothing at all
{A} was playing {p.at}

= go_with: x.holder=A, A.where!=p -> A.where=p
{A} took {x} {p.to}
{A} went {p.to} with {x}
{A} carried {x} {p.to}
{A} picked up {x} and [ran|skipped|went] {p.to}
with {x.own}, {A} went {p.to}

= go_both: G.where!=p -> G.where=p
{G} went {p.to} [together|to play|side by side]
{G} [walked|ran|raced|hurried] {p.to}
{G} met {p.at}
{G} went for a walk {p.to}
{G} were playing {p.at}
{G} packed some bread and cheese and went {p.to}

= scene: A.where~p ->
<p=park> Children ran and laughed on the grass
<p=park> Somebody was selling ice cream
<p=park> The grass was wet and green
<p=park> The old fountain sang its song
<p=beach> The waves went up and down
<p=beach> The sand was warm under foot
<p=beach> White birds cried over the water
<p=forest> It smelled of moss and rain
<p=forest> The trees were as tall as towers
<p=forest> Light fell in gold spots between the trees
<p=garden> Bees hummed from bloom to bloom
<p=garden> The beans had grown as tall as a house
<p=garden> Everything smelled of mint and earth
<p=river> The water ran fast and clear
<p=river> Small silver fish swam by
<p=pond> Tiny bugs ran over the still water
<p=pond> The water was as still as glass
<p=hill> From up there, the houses looked like toys
<p=hill> The wind sang in the grass
<p=farm> The pigs were rolling in the mud
<p=farm> Chickens ran here and there
<p=barn> It was dark and smelled of hay
<p=barn> Dust danced in the light
<p=market> It was loud and full of people
<p=market> It smelled of bread and cheese
<p=school> The halls were full of noise
<p=school> Paper stars hung in every window
<p=library> It was so quiet that one could hear the clock
<p=library> Nobody made a sound
<p=meadow> The grass was full of crickets
<p=meadow> White clouds sailed over the grass
<p=lake> The mountains looked at themselves in the water
<p=lake> Now and then a fish jumped
<p=cave> It was cool and dark in there
<p=cave> Every step made an echo
<p=playground> The swings were going up and down
<p=playground> Somebody had drawn a sun on the ground
<p=kitchen> Soup was cooking on the stove
<p=kitchen> It was warm and smelled of bread
<p=attic> Old boxes stood up to the roof
<p=attic> Dust lay on everything
<p=yard> The grass was long and full of bugs
<p=yard> Shirts danced on the line
<p=orchard> The branches were heavy with fruit
<p=orchard> Wasps hummed in the warm air
<p=shop> The shelves were full of wonderful things
<p=shop> There were toys up to the roof
<p=bakery> It smelled of warm bread
<p=bakery> Fresh rolls lay in long rows

= meet: B.where~A.where -> B.where=A.where
{A} met {B.new}
{A} met {B.new} [at the corner|there]
Just then, {B.new} came by
Along came {B.new}
There {A} saw {B.new} [under a tree|humming a song|looking at the sky|with a heavy bag]
{B.new} was [sitting in the sun|having a rest|taking a walk] nearby
{B.new} came [slowly |]up the path
{A} heard steps and saw {B.new}
{A} almost ran into {B.new}
Who should come by but {B.new}?
Somebody coughed. It was {B.new}

= join: B.where~A.where -> B.where=A.where
{A} met {B.rel} and said hello
{A} saw {B.rel} and waved
{A} called {B.rel} to come along
{A} found {B.rel} there
{B.rel} was there, too
{B.rel} came [running|skipping] along

= play: x.holder=A ->
{A} {x.used} all [morning|afternoon]
<x:toy> {A} played with {x} [in the sun|for a long time]
<x=ball> {A} threw {x} high up and caught it again
<x=kite> {A} ran and ran, and {x} flew up into the sky
<x=boat> {A} put {x} on the water and watched it float
<x=drum> {A} marched up and down with {x}
<x=train> {A} made a long road for {x}
<x=wagon> {A} filled {x} with leaves
<x=book> {A} sat down and read {x}
<x=balloon> {A} ran with {x} on its string
<x=hoop> {A} rolled {x} down the path
<x=marble> {A} held {x} up to the light
<x:wear> {A} felt like a king with {x}
<x:wear> {A} looked very fine in {x}
<x:treasure> {A} turned {x} around and around in the light

= play_both: x.holder~G ->
{G} took turns with {x}
{G} played with {x} until [supper|it got dark|the sun went down]
{G} played with {x} and laughed [a lot|until {G.their} sides hurt]
{G} spent the whole [day|afternoon] with {x}
<x=ball> {G} threw {x} to each other
<x=kite> {G} watched {x} fly over the roofs
<x=boat> {G} ran along the water beside {x}
<x=book> {G} read {x} from the first page to the last
<x=drum> {G} marched up and down with {x}
<x:toy> {G} played pirates with {x}
"""
