"""Hide and seek, races, learning something hard, parties, making friends."""

from __future__ import annotations

TEXT = """
= hide_game A>B: A.where~B.where -> hiding()
glad: Let us play hide and seek!
?: Do you want to play hide and seek?
glad: I will count, and you hide!

= hide_plan: -> hiding()
{G} wanted to play hide and seek
{G} played hide and seek
It was a good day for hide and seek, and {G} began at once

= count: hiding() -> seeks(A,B)
{A} closed both eyes and counted to [ten|a hundred]
{A} turned to the wall and began to count
one, two, three, counted {A}, with both eyes closed
{A} closed both eyes and counted out loud, much too fast

= hide: s@B, hiding() -> B.hides=s
{B} ran and hid {s}
{B} hid {s} and kept very still
{B} looked around, then hid {s}
{B} made {B.self} very small {s}

= seek: seeks(A,B), B.hides!=s, s@A ->
{A} looked {s}, but nobody was there
{A} looked {s}. Nobody!
{A} jumped up and looked {s}, but found only [a beetle|a cold draft|an old boot|a snail]
Nobody was {s}
{A} searched {s}, but there was no one

= where_said A>B: seeks(A,B), hiding() ->
?: Where can {B.he} be?
Hm.|I will find you!
I know you are here somewhere!

= noise: seeks(A,B), hiding() ->
Then {B} had to giggle
But {B} had to sneeze. Achoo!
{A} heard somebody laugh
Then {A} saw one foot
There was a small sound. Was it a giggle?

= find_hidden: seeks(A,B), B.hides=s, s@A -> B.hides=-, !seeks(A,B), found(A,B), seen()
{A} looked {s}, and there was {B.n}
And there, {s}, sat {B.n}
{A} ran to look, and there was {B.n}, {s}
{A} found {B.o} {s}

= asleep_hidden: seeks(A,B), B.hides=s, s@A -> B.hides=-, !seeks(A,B), found(A,B), seen()
there was {B.n}, {s}, fast asleep
{A} found {B.o} {s}, fast asleep
there {s} lay {B.n}, sleeping like a baby

= found_said A>B: found(A,B) ->
glad: Found you!
glad: There you are!
glad: I see you!
glad: Now it is your turn!

= asleep_said B>A: found(A,B) ->
?: Did I win?
?: Is it morning already?
Nobody came, so I took a nap

= end_hide: seen() ->
{G} played until {G.they} knew every hiding place
Then it was {B.s} turn to count
{G} laughed so much that {G.they} could not count any more
{G} played again and again until the stars came out

= boast A>B: A.where~B.where ->
proud: I am the fastest of all!
?: Shall we have a race?
proud: I can run faster than you!
I bet I can beat you

= race_to: -> race()
{G} wanted to see who was faster and ran toward {p}
Ready, set, go! {G} ran toward {p}
{G} lined up for a race to the end of the road
{G} began to run, side by side

= lead: race() ->
{A} was far ahead
{A} took the lead
{A} ran as fast as the wind
{A} was sure to win

= trip: race() -> hurt(B)
{B} tripped over a root and fell
{B} slipped in the mud and fell down
Behind {A.o}, {B} fell and hurt one knee
{B} fell hard and did not get up

= turn_back: hurt(B) -> helped(A,B)
{A} stopped and ran back to {B.o}
{A} heard it and turned around at once
{A} forgot about the race and ran back to {B.o}
{A} could have won, but ran back to {B.o}

= hurt_said A>B: hurt(B) ->
?: Are you hurt?
soft: Take my hand
soft: Lean on me
?: Can you stand up?

= go_on B>A: hurt(B) ->
Go on!|You can still win.
sad: My knee hurts
But you were winning!
?: Why did you stop?

= rather A>B: helped(A,B) ->
soft: A friend is better than a prize
soft: It is no fun to win without you
soft: You are more important than a race

= finish: race() -> !race(), finished()
hand in hand, {G} came to the end of the race
{G} crossed the line side by side
{G} came in together, arm in arm
{G} were the last of all, and the happiest

= end_race: finished() ->
{G} both got a prize that day
Everyone clapped for {G.o}
Who won? Nobody asked
{G} raced again the next week, and again nobody lost

= watched: B.where~A.where, struggle() -> B.where=A.where
{B} had seen it all
{B} came and sat down beside {A.o}
{B.rel} was watching
{B.rel} came and helped {A.o} up

= cannot: -> A.wants=w
{A} wanted to learn {w}
{A} wished to know how {w}
all the others knew how {w}, but {A} did not
more than anything, {A} wanted to learn {w}
{A} could not wait to learn {w}

= try_fail: A.wants=w -> tried(A), A.mood=sad, struggle()
<w=swim> {A} went under and got water up the nose
<w=swim> {A} kicked and splashed, but sank like a rock
<w=skate> {A} took one step and sat down hard on the ice
<w=skate> {A} went left when both feet went right
<w=ride a bike> {A} rode straight into a hedge
<w=ride a bike> {A} fell over before the first corner
<w=juggle> {A} threw three eggs up, and all three came down on {A.s} head
<w=juggle> the first egg went up, and the first egg came down. Splat!
<w=climb trees> {A} slid down and fell into a bush
<w=climb trees> {A} got to the first branch and no higher
<w=tie a bow> {A} tied both {A.hands} together by mistake
<w=tie a bow> the bow came open again at once
{A} tried and tried in vain

= give_up A>B: tried(A), A.where~B.where ->
sad: I will never learn it!
sad: It is too hard
cross: I give up!
sad: Everyone can do it but me

= encourage B>A: tried(A), A.where~B.where -> taught(B,A), helped(B,A)
soft: I fell a hundred times before I could do it
soft: Try again.|I will help you.
soft: Nobody can do it the first time
soft: Do it slowly, bit by bit
glad: You are almost there!

= show: tried(A), A.where~B.where -> taught(B,A), helped(B,A)
{B} showed {A.o} how to do it, very slowly
{B} stayed close and helped {A.o} try again
{B} did it first, and {A} watched with big eyes

= practice: tried(A), A.wants=w ->
{A} tried again
{A} tried again every day for a week
{A} practiced and practiced
{A} fell, got up, and tried once more

= can: taught(B,A), A.wants=w -> can(A), A.wants=-, A.mood=glad
it worked
{A} could do it
<w=swim> {A} swam like a fish
<w=skate> {A} flew over the ice like a bird
<w=ride a bike> {A} rode all the way down the street
<w=juggle> everything stayed up in the air
<w=climb trees> {A} sat at the very top and waved
<w=tie a bow> there was a perfect bow

= did_it A>B: can(A) ->
proud: I did it!
proud: Look at me!
cried: I can do it, I can do it!
proud: Did you see that, {B.voc}?

= end_learn: can(A) ->
Now {A} shows the little ones how {w}
Everything is hard before it is easy
Nobody was prouder than {B.n}
{A} went to bed tired and happy

= alone: -> A.mood=sad
{A} had come from far away and knew nobody
{A} was new in town and had no friends yet
{A} had nobody to play with
{A} sat alone [on the steps|by the window] and watched the others play

= playing: y.holder!=A -> y.holder=B, y.owner=B, B.where=A.where, others()
{B.new} was playing with {y.new}
not far away, {B.new} was playing with {y.new}
{A} saw {B.new} with {y.new}
there was {B.new} with {y.new}

= shy: others() ->
{A} wanted to say hello, but was too shy
{A} was too shy to say a word
{A} opened {A.his} mouth, but no word came out
{A} came one step closer, then one step back

= invite B>A: y.holder=B, A.where~B.where -> helped(B,A), A.mood=glad, good(), offer()
?: Do you want to play with me?
glad: Hello!|Do you want to try {y.my}?
?: Would you like to play with {y.my}?
Come and play!|It is more fun with two.
glad: I am {B.n}.|Shall we play?

= party: -> birthday(A)
It was {A.s} birthday
{A} woke up and smiled. It was {A.s} birthday
{A} had a birthday, but nobody said a word about it

= hello A>B: birthday(A), A.where~B.where ->
?: Do you know what day it is?
?: Will you play with me today?
?: Is it not a special day?

= busy B>A: birthday(A), A.where~B.where -> busy(B)
I have no time today
It is an ordinary day
Not now.|I have work to do.
no: Sorry, I have to go home

= forgotten: birthday(A) -> A.mood=sad
{A} thought that everyone had forgotten
nobody remembered, and {A} felt very alone
{A} walked around all alone

= dark_home: birthday(A), A.where!=home -> A.where=home
{A} went home, and the house was dark and quiet
{A} came home and opened the door. Everything was dark
{A} went home slowly and opened the door

= surprise: birthday(A) -> B.where=home, A.mood=glad, helped(B,A), party()
Surprise! All the friends jumped out, and {B} was first of all
the light went on, and there stood {B.n} with all the others
{B} jumped out from behind a chair, and all the others did too
There was a shout, and {B} and all the others jumped out

= present: birthday(A), party() -> x.holder=A, x.owner=A
{B} gave {A.o} {x.new}
{B} put {x.new} into {A.s} {A.hands}
{A} got a present from {B.o}, and it was {x.new}

= end_party: party() ->
Nobody had forgotten, nobody at all
It was the best birthday ever
Everyone sang, and {A} laughed and cried at the same time
And that was why everyone had been so busy
"""
