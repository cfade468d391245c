# ruff: noqa: E501 - tables: a row is a line
"""What stands around a sentence: how it is tied to the last one, and who said it."""

from __future__ import annotations

# An empty phrase is no opener. The reader takes any of them off the front of a sentence.
LINKS: dict[str, tuple[str, ...]] = {
    "": ("",),
    "oneday": ("One day,", "One morning,", "One afternoon,", "One fine day,", "Early one morning,", "One Saturday,", "On a quiet afternoon,"),
    "sunny": ("One sunny day,", "One warm day,", "One bright morning,", "One summer day,", "On a warm afternoon,"),
    "windy": ("One windy day,", "One day in autumn,", "On a windy morning,", "One windy afternoon,"),
    "cold": ("One cold day,", "One winter morning,", "On a grey day,", "One rainy day,"),
    "winter": ("One winter morning,", "One cold morning,", "One day in winter,"),
    "night": ("One night,", "One dark night,", "Late one night,"),
    "alone": ("",),
    "then": ("Then", "Then", "After that,", "Next,", "", ""),
    "soon": ("Soon", "Before long,", "After a while,", "A little later,", ""),
    "later": ("A little later,", "After a while,", "Some time later,", "After lunch,", "Later that day,"),
    "sudden": ("Suddenly,", "Just then,", "All at once,", "Suddenly"),
    "just": ("Just then,", "At that moment,", "Just then", "Soon", ""),
    "then_but": ("But", "But then", "But soon", ""),
    "but": ("But", "But", ""),
    "still": ("Still,", "But", ""),
    "so": ("So", "So", ""),
    "atlast": ("At last,", "In the end,", "At last,", "Finally,", ""),
    "nextday": ("The next day,", "The next morning,", "The day after,"),
    "daily": ("Every day,", "Each morning,", "Day after day,"),
    "evening": ("That evening,", "That night,", "When the sun went down,", "When the stars came out,"),
    "since": ("From that day on,", "From then on,", "After that day,", "Ever since then,"),
    "first": ("First", "First,", "At first,"),
    "luckily": ("Luckily,", "But luckily,"),
    "bythen": ("By then,", "By evening,", "At the end of the day,"),
    "thistime": ("This time", "Now", "This time,"),
}  # fmt: skip
OPENERS = frozenset(phrase for phrases in LINKS.values() for phrase in phrases if phrase)

# Who says it, after the words and before them; the key is the tone, or how the words end.
AFTER: dict[str, tuple[str, ...]] = {
    ".": ("said {A.n}", "said {A.n}", "{A.he} said", "said {A.n} to {B.o}"),
    "?": ("asked {A.n}", "asked {A.n}", "{A.he} asked"),
    "!": ("said {A.n}", "called {A.n}", "{A.he} said", "{A.he} called"),
    "yes": ("said {A.n}", "said {A.n} with a nod", "{A.he} said"),
    "no": ("said {A.n}", "said {A.n}, shaking {A.his} head", "{A.he} said"),
    "cried": ("cried {A.n}", "{A.he} cried", "shouted {A.n}"),
    "glad": ("laughed {A.n}", "said {A.n} with a smile", "{A.he} said with a big smile", "said {A.n} happily", "said {A.n}"),
    "sad": ("said {A.n} sadly", "{A.he} said in a small voice", "said {A.n} with a sigh", "sobbed {A.n}"),
    "scared": ("whispered {A.n}", "{A.he} whispered", "said {A.n} in a shaky voice"),
    "cross": ("shouted {A.n}", "said {A.n} with a frown", "{A.he} shouted"),
    "soft": ("said {A.n} softly", "said {A.n} in a kind voice", "{A.he} said gently", "said {A.n}"),
    "sorry": ("said {A.n} in a low voice", "{A.he} said in a low voice", "whispered {A.n}"),
    "proud": ("said {A.n} proudly", "{A.he} said proudly", "called {A.n}"),
}  # fmt: skip
BEFORE: dict[str, tuple[str, ...]] = {
    ".": ("{A} said", "{A} said to {B.o}", "{A} told {B.o}"),
    "?": ("{A} asked", "{A} asked {B.o}", "{A} looked at {B.o} and asked"),
    "!": ("{A} said", "{A} called", "{A} said to {B.o}"),
    "yes": ("{A} nodded and said", "{A} thought for a moment and said", "{A} said"),
    "no": ("{A} shook {A.his} head and said", "{A} thought for a moment and said", "{A} said"),
    "cried": ("{A} cried", "{A} shouted"),
    "glad": ("{A} smiled and said", "{A} laughed and said", "{A} smiled at {B.o} and said"),
    "sad": ("{A} sighed and said", "{A} said sadly", "{A} looked down and said"),
    "scared": ("{A} whispered", "{A} held on to {B.o} and whispered"),
    "cross": ("{A} frowned and said", "{A} stamped one foot and shouted"),
    "soft": ("{A} smiled kindly and said", "{A} put one arm around {B.o} and said", "{A} said softly"),
    "sorry": ("{A} looked at the ground and said", "{A} took a deep breath and said", "{A} turned red and said"),
    "proud": ("{A} said proudly", "{A} stood up tall and said"),
}  # fmt: skip
# A sound by itself: the reader knows it as a sentence that claims nothing.
SOUNDS = ("Whoosh", "Splash", "Bump", "Crack", "Snap", "Boom", "Crash", "Pop", "Tap, tap, tap", "Drip, drip, drip", "Plop",
          "Oh", "Rumble", "Swish", "Thump", "Creak", "Hoo, hoo", "Achoo",
          "Surprise", "Ready, set, go")  # fmt: skip
