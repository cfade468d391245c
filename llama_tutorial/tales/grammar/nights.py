"""Strange noises in the dark."""

from __future__ import annotations

TEXT = """
= bed: -> A.where=home, night()
{A} lay in bed and could not sleep
it was late, and {A} was in bed
{A} had just closed both eyes in bed
the moon shone on {A.s} bed

= strange_noise: night() -> A.mood=scared
there was a strange sound. Tap, tap, tap!
something went scratch, scratch, scratch
something creaked, and something went bump
there was a noise at the window
{A} heard a long, low sound

= imagine: A.mood=scared, night() ->
was it a monster?
{A} thought of all the monsters in the world
it sounded like a monster with big teeth
{A} pulled the covers up high

= call C>A: A.mood=scared -> C.where=home
?: What is the matter?
soft: I am here
soft: Let us go and see together

= call_for: A.mood=scared -> C.where=home
{A} called, and {C} came at once
{A} called for {C.o}
{C} came in and sat down on the bed

= noise_said A>C: A.mood=scared ->
scared: There is something in the dark
scared: Something is at the window
?: Did you hear that?

= see_noise: A.mood=scared -> A.mood=glad, helped(C,A), calm()
{C} turned on the light, and it was only a branch at the window
{C} opened the curtain. It was only the wind
{G} looked together, and it was only a moth
{C} looked in every corner, and found only one lost sock
{G} went to look, and it was only the rain on the roof

= laugh_noise: A.mood=glad, calm() ->
{A} had to laugh
{A} laughed about the silly monster
{A} said good night to it

= end_bed: calm() ->
Soon {A} was fast asleep
{A} closed both eyes and slept until morning
Now the sound was like a song, and {A} fell asleep
{A} dreamed of a monster that was afraid of the dark
The moon smiled, and {A} slept
"""
