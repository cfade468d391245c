# ruff: noqa: E501 - tables: a row is a line
"""Wishing, earning, giving, trading, sharing."""

from __future__ import annotations

TEXT = """
= spy: -> A.wants=x
{A} saw {x.new} behind the glass and stopped
{A} stopped and stared at {x.new}
there, high on a shelf, was {x.new}, and {A} wanted it at once
{A} pressed both {A.hands} to the glass and looked at {x.new}
{A} saw {x.new} there and could not look away

= no_money: A.wants=x ->
But {A} had no money
{A} looked in every pocket, but found only crumbs and some string
it cost five pennies, and {A} had only one
{A} counted, but there were not enough pennies
{A} had only two pennies, and that was not enough

= burden: B.where~A.where -> B.where=A.where, burdened(B)
{B.new} came by with a [heavy|very heavy] bag
{B.new} was trying to push a cart up the street
{A} saw {B.new}, who had dropped a whole bag of potatoes
{B.new} was trying to lift a big box, but it was too heavy
outside, {A} saw {B.new} with far too much to carry
there stood {B.new} beside a broken cart, with apples all over the street

= ask_help B>A: burdened(B), A.where~B.where ->
?: Can you help me?
Please help me, {A.voc}.|This is too heavy for me.
?: Would you help me for a moment?
Oh dear, oh dear.|I need help.

= offer_help A>B: burdened(B), A.where~B.where ->
Wait!|Let me help you.
glad: I can help you!
?: May I help you?
glad: I am small, but I am strong!

= do_help: burdened(B), A.where~B.where -> !burdened(B), helped(A,B)
{A} took one end, and {B} took the other, and soon the work was done
{A} helped {B.o} until everything was done
{A} pushed and pulled until the work was done
{A} worked hard all [morning|afternoon] and did not complain once
{A} carried everything, bit by bit, until {B} could rest
It was hard work, but {A} did not stop

= reward: helped(A,B), A.where~B.where -> x.holder=A, x.owner=A, A.wants=-, A.mood=glad, helped(B,A)
to say thank you, {B} gave {A.o} {x}
{B} smiled, went inside and came back with {x} for {A.o}
{B} was so thankful that {B.he} bought {x} for {A.o}
And what did {B} put into {A.s} {A.hands}? It was {x.the}!

= paid: helped(A,B), A.where~B.where -> paid(A), helped(B,A)
{B} gave {A.o} [five shiny pennies|a few pennies] for the work
to say thank you, {B} gave {A.o} [some money|five pennies]
{B} pressed five pennies into {A.s} {A.hands}

= buy: paid(A), A.wants=x -> x.holder=A, x.owner=A, A.wants=-, !paid(A), A.mood=glad
{A} ran back and bought {x}
{A} put the pennies down and bought {x}
{A} hurried back, and soon {x} was in {A.his} {A.hands}
{A} bought {x} and held {x.it} up to the sun

= end_earned: x.holder=A ->
{A} loved {x} all the more, because {A.he} had worked for {x.it}
And the best part was that {A} had earned {x}
{A} hugged {x} all the way home
{A} showed {x} to everyone on the street
{A} took good care of {x} for years

= birthday: -> birthday(B)
it was almost {B.s} birthday
{A} woke up early, because it was {B.s} birthday
{A} knew that it was {B.s} birthday
{A} had a secret. Soon it would be {B.s} birthday

= friend_birthday: -> birthday(B)
{A} woke up early, because {B.rel} had a birthday
{A} was invited to the birthday party of {B.rel}
{A} was thinking about {B.rel}, who had a birthday

= no_gift: birthday(B) -> plan()
But {A} had no gift
{A} did not know what to give {B.o}
{A} wanted to give {B.o} something special, but what?
{A} thought and thought about a gift for {B.o}
{A} had no money for a gift, so {A.he} had to think

= idea: plan() ->
Then {A} had an idea
Suddenly {A} smiled. There was an idea!
{A} clapped both {A.hands}, for there was an idea

= make_gift: plan() -> x.holder=A, x.owner=A
<x:made> {A} [sat down and|worked all day and] made {x.new}
<x:made> with paper, glue and string, {A} made {x.new}
<x:made> {A} cut and glued until there was {x.new}
<x:knit> {A} sat down and made {x.new} out of soft wool
<x:knit> {A} took some wool and made {x.new}
<x:baked> {A} baked {x.new}
<x:baked> {A} put on an apron and baked {x.new}
<x:baked> {A} mixed flour, eggs and honey and baked {x.new}

= find_gift: A.where~p, plan() -> x.holder=A, x.owner=A
<x:small> {A} looked and looked until {A.he} found {x.new}
<x:small> {A} searched {p.at} and found {x.new}
<x=flower> {A} picked {x.new}
<x:fruit> {A} picked {x.new}
<x:fruit> {A} reached up high and picked {x.new}
<x:small> there, right at {A.his} feet, lay {x.new}

= wrap: x.holder=A, plan() ->
{A} wrapped {x} in [red|brown|silver] paper
{A} put {x} into a little box
{A} held {x} behind {A.his} back
{A} put {x} into a box and tied it with string

= visit: plan() -> A.where=B.where
{A} knocked on {B.s} door
{A} ran over to {B.s} house
{A} went to see {B.o}
{A} could not wait and hurried to {B.s} house

= gift_said A>B: x.holder=A, birthday(B), A.where~B.where -> x.holder=B, x.owner=B, helped(A,B), B.mood=glad, gifted()
glad: Happy birthday!|{x.this} is for you!
glad: Happy birthday, {B.voc}!|Here is {x.a} for you.
glad: I hope that you like {x.this}!
proud: Happy birthday!|I made it all by myself.

= give: x.holder=A, A.where~B.where -> x.holder=B, x.owner=B, helped(A,B), B.mood=glad, gifted()
{A} gave {x} to {B.o}
{A} gave {B.o} {x.the}
{A} held {x} out to {B.o}
{A} handed {B.o} {x.the}

= like_gift: x.holder=B, helped(A,B) ->
{B} [loved|liked] {x} at once
{B} opened {B.his} eyes wide when {B.he} saw {x}
{B} [held|hugged] {x} close and would not let go
{B} had never had such a [good|fine] gift

= like_said B>A: x.holder=B, helped(A,B), A.where~B.where ->
glad: It is just what I wanted!
glad: {x.a}!|I love it!
glad: You made me so happy, {A.voc}!
glad: Oh, {A.voc}!|It is perfect!
glad: I will keep it forever!

= end_gift: gifted() ->
{A} felt happy too, for giving is as good as getting
And {A} learned that giving a gift is fun
{G} talked and laughed until late in the evening
Then {G} danced through the whole house
It was the best birthday in years
{A} was just as happy as {B}
{B} never forgot that birthday

= other_has: -> y.holder=B, y.owner=B
{B} came by with {y.new}
{B} showed {A.o} {y.new}
{B} came along with {y.new}
{B} was playing with {y.new}

= envy: y.holder=B, y.holder!=A -> A.wants=y
{A} looked at {y} and wanted it
{A} thought that {y} was much nicer
{A} could not stop looking at {y}
{A} thought about {y} all day long

= offer_trade A>B: x.holder=A, y.holder=B, A.where~B.where -> offered(A,B), offer()
?: Will you trade {y.your} for {x.my}?
I will give you {x.my} for {y.your}
?: Shall we trade, {x.my} for {y.your}?
If you give me {y.your}, you can have {x.my}

= swap: offered(A,B), x.holder=A, y.holder=B -> x.holder=B, y.holder=A, x.owner=B, y.owner=A, swapped(), good()
{A} gave {B.o} {x}, and {B} gave {A.o} {y}
{A} took {y}, and {B} took {x}
Now {A} had {y}, and {B} had {x}

= both_like: swapped() ->
{A} played with {y}, {B} played with {x}, and both were happy
{A} loved {y}, and {B} loved {x}
It was a good trade for {G.o}
{G} were both happy, for now everything was new

= regret: swapped(), x.holder=B, y.holder=A -> A.mood=sad
At first {y} was fun, but {A} missed {x}
{A} tried to play with {y}, but {A.he} missed {x}
that night, {A} could not sleep, because {A.he} missed {x}
{y.the} was nice, but it was not {x}

= trade_back A>B: x.holder=B, A.mood=sad, A.where~B.where ->
?: Can we trade back?|I miss {x.the}.
sorry: I was wrong.|May I have {x.the} back?
I miss {x.the} too much

= swap_back: swapped(), x.holder=B, y.holder=A -> x.holder=A, y.holder=B, x.owner=A, y.owner=B, A.mood=glad, !swapped(), traded_back()
{B} laughed and gave {x} back, and {A} gave {y} back
{B} had missed {y} too, so {A} got {x} back, and {B} got {y}

= moral_trade: traded_back() ->
Sometimes the best thing is the one you already have
It is hard to know what you love until it is gone

= end_trade: x.holder=A, traded_back() ->
{A} held {x} tight and never wanted to trade it again
{A} never again thought that {x} was not good enough

= hungry: -> hungry(B)
{B} had forgotten lunch at home
{B} had eaten nothing all day
{B.s} stomach made a loud noise
{B} looked at {x} with big, hungry eyes
{B} was very hungry

= hungry_said B>A: hungry(B), A.where~B.where ->
sad: I am so hungry
sad: I have had nothing to eat today
sad: That smells so good
?: May I have a little bit?
sad: My stomach is empty

= keep_it: x.holder=A, hungry(B) ->
{A} wanted to keep {x}, every last bit of {x.it}
{A} held {x} a little closer
{A} turned around and took a big bite
At first, {A} did not want to share
{A} said nothing and looked the other way

= keep_said A>B: x.holder=A, hungry(B), A.where~B.where ->
cross: No!|It is mine.
cross: I am hungry too!
cross: There is not enough for two!

= think_again: hungry(B) ->
{A} saw {B.s} sad face and stopped
{A} looked at {B.o} and felt bad
But then {A} remembered how it feels to be hungry
{A} did not like to see {B.o} so sad

= share: x.holder=A, hungry(B), A.where~B.where -> x.holder=-, shared(), helped(A,B), !hungry(B), B.mood=glad
{A} broke {x} in two and gave one half to {B.o}
{A} cut {x} in the middle and gave {B.o} the bigger half
{A} gave {B.o} half of {x}
{A} held {x} out and let {B.o} take a big bite

= share_said A>B: x.holder=A, hungry(B), A.where~B.where -> x.holder=-, shared(), helped(A,B), !hungry(B), B.mood=glad
Let us share {x.the}.|Half for you, half for me.
glad: Here, take half of {x.my}!
soft: Sit down with me, {B.voc}.|{x.the} is big enough for two.

= eat: shared() ->
{G} ate side by side until every crumb was gone
{G} sat in the grass and ate together
It tasted much better that way
{G} ate and talked, and it tasted better than ever

= repay: shared(), y.holder!=A -> y.holder=A, helped(B,A)
{B} came back with {y.new} for {A.o}
{B} brought {A.o} {y.new}

= end_share: shared() ->
Half of something good, and a friend to eat it with. What could be better?
Food is best when there are two to eat it
{A} was not even hungry any more
From then on, {G} always had lunch together
"""
