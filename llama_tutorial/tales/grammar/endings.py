"""How tales end."""

from __future__ import annotations

TEXT = """
= end_friends: good() ->
{G.w} were best friends [after that|from that day on]
From that day on, {G.w} were [good|best|the best of] friends
{G.w} have been friends ever since
And so {G.n} became friends
{G} often laughed about it later
{G} went home hand in hand
{G} ate a big supper together that night
After that, {G} met almost every day
And if you see {G.o} today, {G.they} are sure to be laughing
It was the start of something good for {G.o}
"""
