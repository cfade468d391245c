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
{A} picked {x} up and [ran|skipped|went] {p.to}
with {x.own}, {A} went {p.to}

= go_both: G.where!=p -> G.where=p
{G} went {p.to} [together|to play|side by side]
{G} [walked|ran|raced|hurried] {p.to}
{G} met {p.at}
{G} went for a walk {p.to}
{G} were playing {p.at}
{G} packed some bread and cheese and went {p.to}

= scene: A.where=p ->
<p=park> The grass was wet and green
<p=park> Everyone was out in the sun
<p=beach> The sand was warm under foot
<p=beach> White birds cried over the water
<p=forest> It smelled of earth and rain
<p=forest> The trees were as tall as houses
<p=garden> The roses had opened in the night
<p=garden> Everything smelled of earth and summer
<p=river> The water ran fast and green
<p=river> Small silver fish swam by
<p=pond> The water was as still as glass
<p=hill> From up there, the houses looked like toys
<p=hill> The wind sang in the grass
<p=farm> The pigs were rolling in the mud
<p=farm> Chickens ran here and there
<p=barn> It was dark and smelled of hay
<p=market> It was loud and smelled of bread and cheese
<p=school> Paper stars hung in every window
<p=library> It was very quiet there
<p=meadow> The grass was full of crickets
<p=meadow> White clouds sailed over the grass
<p=lake> Now and then a fish jumped
<p=cave> Every step made an echo
<p=playground> The swings were going up and down
<p=kitchen> It was warm and smelled of soup
<p=attic> It was dark and full of old boxes
<p=yard> The grass was long and full of beetles
<p=orchard> The trees were heavy with fruit
<p=shop> It was full of wonderful things
<p=bakery> It smelled of warm bread

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
<x=book> {G} read {x} from the first word to the last
<x=drum> {G} marched up and down with {x}
<x:toy> {G} played pirates with {x}
"""
