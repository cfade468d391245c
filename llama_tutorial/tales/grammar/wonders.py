"""A firefly, a tall tale, a letter, a pumpkin that will not come out, and the moon."""

from __future__ import annotations

TEXT = """
= catch: -> caught()
{A} saw a firefly and caught it in a jar
a firefly danced over the grass, and {A} caught it in a jar
{A} ran after a firefly until it was safe in a jar

= glow: caught() ->
it shone like a little star
{A} held the jar up, and the grass around it shone green
{A} could not stop looking at the light

= grow_dim: caught() -> A.mood=sad, struggle()
But the light grew weaker and weaker
the firefly sat still, and its light was almost gone
the firefly did not want to shine in the jar

= firefly_said B>A: caught(), A.where~B.where ->
soft: It misses the sky
soft: It cannot dance in a jar
?: Would you like to live in a jar?
soft: It wants to go home, just like you

= let_go: caught() -> !caught(), A.mood=glad, freed()
{A} opened the jar and let the firefly go
{A} took off the lid, and the firefly flew up and away
with a sad smile, {A} let it fly

= end_firefly: freed() ->
It danced around {A.o} once, as if to say thank you
And from the dark grass, a hundred lights answered
Now {A} catches fireflies with both eyes, and never with a jar
The night had never been so full of light

= tall_tale A>B: A.where~B.where -> tale()
proud: I saw a dragon last night!
proud: I have a dragon at home!
proud: A dragon took me for a ride last night!
proud: My best friend is a dragon!
soft: Do you want to know a secret?|I have a dragon.

= show_it B>A: tale(), A.where~B.where -> asked_for()
glad: Show me!
?: Really?|Can I see it?
glad: I want to see it too!
?: Where?|Take me there!

= red: tale(), asked_for() -> A.mood=sorry
{A} turned red and looked away
{A} did not know what to say
it was not true, and {A} knew it
Now {A} wished that {A.he} had said nothing

= own_up A>B: tale(), A.where~B.where, asked_for() -> told(A,B), owned_up()
sorry: I made it up
sorry: It is not true.|I only wanted you to like me.
sorry: There is no dragon.|There never was.

= like_you B>A: told(A,B), A.where~B.where -> forgave(B,A)
soft: I like you without a dragon
glad: But it was a very good story!
soft: You do not need a dragon to be my friend
glad: Then let us write it down!

= write_it: tale(), owned_up() -> written()
{G} wrote it all down and drew many pictures
{G} drew the dragon on the wall, in green and gold
{G} made up the rest of the story together

= end_tale: written() ->
Everyone wanted to hear it, and this time everyone knew that it was a story
It was a good story, and nobody had to lie
{A} still tells stories, but now {A.he} says so first

= letter: -> letter()
{A} wrote a letter
{A} wrote a few words to someone far away
{A} drew a picture of the sea and wrote a few words under it

= send: letter(), x.holder=A -> x.holder=-, sent()
{A} put the letter into {x} and let {x.it} float away
{A} put the letter into {x} and pushed {x.it} out into the water

= far: letter(), sent() -> x.holder=B
far away, {B.new} found {x}
Two days went by. Then {B.new} found {x} far down the water
{x.the} floated on and on, until {B.new} pulled it out

= answer: letter(), x.holder=B -> x.holder=A, A.mood=glad, answered()
{B} read the letter, smiled, and came all the way to bring {x} back to {A.o}
{B} wrote an answer and walked for a whole day to give {x} back to {A.o}
{B} walked up along the water until {B.he} found {A.o}, and gave {x} back

= end_letter: answered() ->
Since then, {G} have written to each other every week
Sometimes a friend is only one letter away
There was so much to tell that nobody noticed the time

= huge: A.where~p -> x.spot=ground
{p.at} grew {x.new}, bigger than a horse
there, {p.at}, stood {x.new}, as big as a house
{A} had grown {x.new}, the biggest in the land

= pull_up: x.spot=ground ->
{A} pulled and pulled, but {x} would not move
{A} pulled until {A.his} face was red, but {x} did not come out

= pull_two: x.spot=ground ->
{A} called {B.new}, and {B.n} pulled {A.o}, and {A.n} pulled {x.the}, but it did not move
{B.new} came to help. {G} pulled and pulled, but {x} stayed where it was

= pull_three: x.spot=ground ->
{B} called {C.new}. How could one so small help?
Then {C.new} came and said nothing, but took hold, too
Last of all came {C.new}

= plop: x.spot=ground -> x.spot=-, pulled(x)
Plop! Out came {x}, and all three fell over
All three pulled. Plop! There it was
one, two, three, and out came {x} at last

= end_huge: pulled(x) ->
There was enough soup for everyone that night
And who ate the most? It was {C.n}
Sometimes a little help is all that is needed
{C} got the very first bowl of soup

= moon: -> wants_moon(A)
{A} wanted to have the moon
one night, {A} looked up at the moon and wanted to hold it
more than anything, {A} wanted the moon

= moon_try: wants_moon(A) -> struggle()
{A} climbed on a chair, but the moon was too high
{A} stood on {A.his} toes on the roof, but it was not high enough
{A} jumped as high as {A.he} could, but the moon stayed where it was
{A} tried to catch it with a net on a long pole

= moon_ask A>B: wants_moon(A), A.where~B.where ->
?: Can you get me the moon?
I want the moon
?: How can I catch the moon?

= moon_how: wants_moon(A) -> !wants_moon(A), A.mood=glad, helped(B,A), have_moon()
{B} filled {x.new} with water and put it on the ground, and there in the water was the moon
{B} smiled and put {x.new} full of water on the grass. In it swam the moon

= end_moon: have_moon() ->
{A} put one finger into the water, and the moon laughed
And the moon slept beside {A.o} all night long
By morning it was gone, but {A} knew that it would come back
"""
