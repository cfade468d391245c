"""How tales end."""

from __future__ import annotations

TEXT = """
= end_friends: ->
{G} were best friends [after that|from that day on]
From that day on, {G} were [good|best|the best of] friends
{G} have been friends ever since
And so {G} became friends
{G} often laughed about it later

= end_home: ->
{G} walked home hand in hand
{G} went home with [happy hearts|muddy shoes and big smiles|tired feet]
Hand in hand, {G} went home for supper
When the stars came out, {G} went home

= end_night: x.holder=A ->
That night, {A} slept with {x} [close by|beside the bed|under one arm]
That night, {A} put {x} by the window and smiled
That night, {A} dreamed of {x}
At bedtime, {A} said good night to the moon and to {x}

= end_happy: ->
It was the best day [of the year|of all|in a long time]
It had been a very good day
What a day it had been
"""
