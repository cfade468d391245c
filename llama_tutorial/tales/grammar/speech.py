"""What people feel, and what they say to each other in any tale."""

from __future__ import annotations

TEXT = """
= sad: A.mood=sad ->
{A} felt like crying
{A} was [very|so] sad
{A} began to cry
{A} sat down and cried
{A} sat down on the ground and sighed
{A} tried to be brave, but it was hard
a tear rolled down {A.s} face
{A} did not feel like laughing any more
{A} had never been so sad
{A.s} heart was heavy
{A} did not know what to do
the day did not look so sunny any more

= glad: A.mood=glad ->
{A} was so happy that {A.he} danced around and around
{A} jumped for joy
{A} laughed out loud
{A} smiled from ear to ear
{A} was [very|so] happy
{A} did a happy little dance
{A} could not stop smiling
{A} felt warm inside
{A.s} eyes shone
{A} had never been so happy
{A} gave a shout of joy
{A} could have hugged the whole world

= thanks A>B: helped(B,A), A.where~B.where ->
glad: Thank you, {B.voc}!
glad: Thank you so much!
glad: Oh, thank you, {B.voc}!|You are so kind.
glad: Thank you!|You are a true friend.
glad: Thank you, thank you!
glad: You are the best, {B.voc}!
glad: I will never forget this, {B.voc}.
glad: How can I ever thank you?

= thank_told: helped(B,A), A.where~B.where ->
{A} [hugged|thanked] {B.o}
{A} gave {B.o} a big hug
{A} thanked {B.o} again and again
{A} threw both arms around {B.o}
{A} did not know how to thank {B.o}

= welcome B>A: helped(B,A), A.where~B.where ->
glad: You are welcome
glad: Any time!
soft: That is what friends are for
glad: It was nothing
glad: You would do the same for me

= agree B>A: A.where~B.where, offer() ->
glad: Yes, please!
glad: Yes!|Let us do that!
glad: Of course!
glad: I would love to!
glad: What a good idea!
glad: Oh yes!
yes: Why not?
"""
