"""Breaking, taking, quarrelling, and making it good again."""

from __future__ import annotations

TEXT = """
= lend: x.holder=B, A.where~B.where -> x.holder=A, lent(B,A)
{B} let {A.o} play with {x}
{B} let {A.o} hold {x} for a while
{A} asked, and {B} let {A.o} have {x} for a while
{B} gave {x} to {A.o} for the afternoon

= lend_said B>A: x.holder=B, A.where~B.where -> x.holder=A, lent(B,A)
Here, you may play with {x.my}.|But be careful!
Please be careful with {x.my}
glad: You can have {x.my} for a while!

= break: x.holder=A -> broken(x), A.mood=sorry
Crack! {A} dropped {x}, and {x.it} broke
{A} tripped over a root, and {x} broke
{A} pulled too hard, and {x} broke in two
{A} ran too fast and fell, and {x} was broken
Snap! {A} had broken {x}
{A} sat down without looking. Crunch! That was {x.the}

= hide_it: broken(x) ->
{A} wanted to hide {x} and run away
{A} hid {x} behind {A.his} back
{A} stared at the pieces and felt hot and cold
for a moment, {A} thought of telling a lie
Nobody had seen it, and {A} could have said nothing

= confess A>B: broken(x), A.where~B.where -> told(A,B)
sorry: I broke {x.your}.|I am so sorry.
sorry: It was me.|I broke {x.your}.
sorry: {B.voc}, I have to tell you something.|I broke {x.your}.
sorry: Please do not be angry.|{x.the} is broken, and it was me.

= confess_told: broken(x), A.where~B.where -> told(A,B)
{A} went to {B.o} and told the truth
{A} took a deep breath and told {B.o} everything
{A} showed {B.o} {x} and began to cry

= quiet: told(A,B) ->
{B} looked at {x} for a long time
for a moment, {B} said nothing
{B} was sad, but not angry
{B} took a deep breath

= forgive B>A: told(A,B), A.where~B.where -> forgave(B,A)
soft: It was an accident
soft: Thank you for telling me the truth
soft: You told the truth, and that was brave
soft: Do not cry, {A.voc}.|We can mend it.
soft: I am not angry.|Things can be mended.

= mend: broken(x) -> !broken(x), mended()
{G} mended {x} with glue and string
{G} found some glue, and soon {x} was as good as new
{G} worked all afternoon until {x} was whole again
with a little glue, {G} mended {x} together

= end_mend: told(A,B), mended() ->
There was still a small crack, but nobody minded
{A} was glad that {A.he} had told the truth
{A} felt as light as air
And {B} liked {x} even more than before

= take: x.holder=B, A.wants=x -> x.holder=A, taken(x)
when {B} was not looking, {A} took {x}
{A} waited until {B} turned around, and then took {x}
{A} put {x} into a bag and said nothing
while {B} was asleep, {A} took {x}

= miss: taken(x) -> B.mood=sad
{B} looked for {x} [everywhere|all day long]
{B} cried when {x} was gone
{B} asked everyone about {x}

= miss_said B>A: taken(x) -> B.mood=sad
cried: {x.my} is gone!
?: Who has seen {x.my}?
sad: I cannot find {x.my}

= guilt: x.holder=A, taken(x) ->
{A} did not feel happy at all
{A.s} stomach began to hurt
{A} could not eat and could not sleep
it was no fun for {A.o} to have {x}
{A} wanted to play, but {x} was no fun any more

= give_back: taken(x), x.holder=A -> x.holder=B, gave_back(A,B)
{A} went to {B.o} and gave {x} back
{A} took {x} back to {B.o}
{A} put {x} in front of {B.o}

= sorry A>B: gave_back(A,B), A.where~B.where ->
sorry: I took it.|I am so sorry.
sorry: I am sorry.|I will never do it again.
sorry: I should have asked you.|Please do not be angry.
sorry: It was wrong of me to take it, {B.voc}

= forgive_took B>A: gave_back(A,B), A.where~B.where -> forgave(B,A)
soft: Next time, just ask me
soft: Thank you for giving it back
soft: You only had to ask, {A.voc}
soft: I forgive you.|Come, let us play with it together.

= end_took: forgave(B,A) ->
{A} never took anything again without asking
{A} always asked first after that
And {A} slept very well that night
{A} felt much better

= lying: A.where~B.where ->
there on the ground lay {x.new}
{G} found {x.new}
somebody had left {x.new} there

= comes: quarrel() -> C.where=A.where
{C} came [running|by] and shook {C.his} head
{C} heard the noise and came to see

= both_want: x.holder!=A -> rivals()
{A} wanted {x}, and {B} wanted {x.it} too
{G} both wanted to play with {x}
{G} saw {x} at the same moment

= quarrel_said A>B: A.where~B.where, rivals() -> row()
cross: It is mine!
cross: I saw it first!
cross: Let go!
cross: You always have it!

= quarrel_back B>A: A.where~B.where, row() ->
cross: No, it is mine!
cross: No, I saw it first!
cross: You let go!
cross: That is not fair!

= pull: row() -> quarrel()
{A} pulled on one side, and {B} pulled on the other
{A} pulled, and {B} pulled, and nobody let go
{G} pulled so hard that {G.they} both fell over
{G} pulled and shouted until {G.they} both cried

= judge C>A: quarrel() ->
soft: What a noise!|You can take turns.
?: Why do you not take turns?
soft: First one, and then the other.|That is fair.
?: Who will be happy if it breaks?

= turns: quarrel() -> !quarrel(), made_up()
{A} looked at {B} and began to laugh
{G} looked at each other and had to laugh
{A} let go and said sorry, and {B} said sorry too
{G} felt silly and said sorry

= end_turns: made_up() ->
First it was {A.s} turn, and then it was {B.s} turn
{G} took turns after that, and it was twice as much fun
{G} never pulled again
"""
