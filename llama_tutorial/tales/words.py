# ruff: noqa: E501 - tables: a row is a line
"""The words of the story world: who there is, what there is, and where.

Every table is read by the teller and by the reader alike. A row of :data:`THINGS` says what can
happen to a thing (the wind takes a kite, a ball rolls), so that no tale flies a pumpkin.
"""

from __future__ import annotations

from typing import NamedTuple


class Thing(NamedTuple):
    """A kind of object: its noun and what can be said of it."""

    noun: str
    traits: frozenset[str]
    colours: tuple[str, ...]
    looks: tuple[str, ...]
    used: str  # what one did with it: "flew"
    use: str  # "fly"


class Place(NamedTuple):
    """A place: how one is there, how one gets there, and where things can hide."""

    noun: str
    at: str
    to: str
    traits: frozenset[str]
    spots: tuple[str, ...]


BOYS = "Tom Ben Sam Max Leo Tim Jack Finn Noah Oscar Peter Hugo Theo Adam Luke Omar".split()
GIRLS = "Mia Lily Anna Zoe Sue Ella Rosa Emma Nora Ruby Kate Lucy Amy Clara Maya Ivy".split()
HE_ANIMALS = "Pip Bruno Toby Rusty Basil Milo Otto Chip".split()
SHE_ANIMALS = "Hazel Daisy Poppy Tilly Molly Bella Coco Dot".split()
GENDER = dict.fromkeys(BOYS + HE_ANIMALS, "he") | dict.fromkeys(GIRLS + SHE_ANIMALS, "she")

# Family, named by what they are: "his grandma", then "Grandma".
KIN = {"Mom": "she", "Dad": "he", "Grandma": "she", "Grandpa": "he"}

ANIMALS = (
    "fox bear rabbit mouse frog duck hedgehog squirrel cat dog goat badger mole turtle".split()
)
# Those who need no name; each has a fixed pronoun, since the text gives no other hint.
STRANGERS = {
    "owl": "she", "crow": "he", "cow": "she", "donkey": "he", "beaver": "he", "toad": "he",
    "farmer": "he", "baker": "she", "sailor": "he", "woman": "she", "man": "he",
}  # fmt: skip
KINDS = {"boy": "he", "girl": "she"} | dict.fromkeys(ANIMALS, "") | STRANGERS
HANDS = {"boy": "hands", "girl": "hands", "farmer": "hands", "baker": "hands", "sailor": "hands",
         "woman": "hands", "man": "hands", "owl": "wings", "crow": "wings", "duck": "wings",
         "frog": "hands", "toad": "hands", "goat": "hooves", "cow": "hooves", "donkey": "hooves"}  # fmt: skip

KIND_LOOKS = {"boy": ("little", "small", "young"), "girl": ("little", "small", "young"),
              "fox": ("little", "young", "clever"), "bear": ("big", "brown", "young"),
              "rabbit": ("little", "grey", "white"), "mouse": ("tiny", "little", "grey"),
              "frog": ("little", "green", "small"), "duck": ("little", "white", "young"),
              "hedgehog": ("little", "small", "shy"), "squirrel": ("little", "red", "quick"),
              "cat": ("black", "small", "young"), "dog": ("little", "brown", "friendly"),
              "goat": ("little", "white", "young"), "badger": ("young", "big", "shy"),
              "mole": ("little", "small", "shy"), "turtle": ("little", "slow", "green"),
              "owl": ("old", "wise"), "crow": ("old", "big"), "cow": ("kind", "brown"),
              "donkey": ("old", "grey"), "beaver": ("busy", "friendly"), "toad": ("old", "fat"),
              "farmer": ("old", "kind"), "baker": ("kind", "busy"), "sailor": ("old", "kind"),
              "woman": ("old", "kind"), "man": ("old", "kind")}  # fmt: skip

# Looks that exclude each other, by what they describe; a thing has at most one of each group.
LOOKS = {
    "colour": "red blue green yellow orange purple pink white black brown grey golden silver".split(),
    "size": "big small little tiny".split(),
    "age": "old new".split(),
    "touch": "soft round shiny warm long sweet fresh pretty".split(),
    "make": "wooden woolen paper".split(),
}  # fmt: skip
LOOK_GROUP = {look: group for group, looks in LOOKS.items() for look in looks}
# Adjectives that say nothing to be checked.
PLAIN_LOOKS = frozenset("favorite best own lost good lovely kind clever young wise quick shy slow busy fat friendly other".split())  # fmt: skip

_BRIGHT = "red blue green yellow orange purple"
# noun | traits | colours | looks | used / use
_THINGS = f"""
ball | toy roll | {_BRIGHT} | big small new | bounced / bounce
kite | toy wind break made | {_BRIGHT} | big new paper | flew / fly
doll | toy soft made | | small pretty new | hugged / hug
drum | toy break sound made | {_BRIGHT} | small new wooden | played / play
boat | toy float break made | {_BRIGHT} white | little wooden new | sailed / sail
puppet | toy break made | | wooden little new | played with / play with
balloon | toy wind | {_BRIGHT} pink | big round | held / hold
train | toy break | {_BRIGHT} | little wooden new | pushed / push
wagon | toy break | red blue green | little wooden old | pulled / pull
hoop | toy roll break | {_BRIGHT} | big wooden | rolled / roll
marble | toy roll small treasure | {_BRIGHT} white | shiny round | rolled / roll
book | toy | red blue green | big old new | read / read
whistle | toy small sound | red silver yellow | shiny little new | blew / blow
flute | toy sound break | silver white brown | long wooden | played / play
bell | toy small sound treasure | golden silver | shiny little | rang / ring
pinwheel | toy wind break made | {_BRIGHT} | paper pretty | held / hold
hat | wear wind | {_BRIGHT} white black | new big | wore / wear
cap | wear wind knit | red blue green | new woolen | wore / wear
scarf | wear wind soft knit | {_BRIGHT} | long woolen warm | wore / wear
mitten | wear small knit | red blue green | woolen warm | wore / wear
ribbon | wear wind small | red blue pink yellow | long pretty | wore / wear
crown | wear break made | golden yellow | paper shiny | wore / wear
ring | wear roll small treasure | golden silver | shiny little | wore / wear
umbrella | wind tool | {_BRIGHT} black | big old new | held / hold
lamp | tool break | | small old | held / hold
basket | tool | brown | big little old | carried / carry
bucket | tool | {_BRIGHT} | big little old | carried / carry
map | toy wind | | old paper | read / read
key | small treasure | golden silver | little old | held / hold
coin | roll small treasure | golden silver | shiny old round | kept / keep
button | roll small treasure | {_BRIGHT} white | shiny round | kept / keep
shell | small treasure wild | pink white | pretty shiny | kept / keep
stone | small treasure wild | grey white black | round shiny | kept / keep
feather | wind small treasure soft wild | white blue grey | long soft | kept / keep
pinecone | small treasure wild | brown | big round | kept / keep
flower | wind treasure wild | {_BRIGHT} pink white | pretty little | smelled / smell
cup | tool break | {_BRIGHT} white | pretty little | held / hold
blanket | soft tool | {_BRIGHT} | warm old woolen | folded / fold
pillow | soft tool | {_BRIGHT} white | big soft | hugged / hug
rope | tool | | long old | held / hold
ladder | tool big | | long wooden old | climbed / climb
apple | food roll fruit wild | red green | sweet round | ate / eat
pear | food roll fruit wild | yellow green | sweet big | ate / eat
peach | food roll fruit wild | | sweet round | ate / eat
plum | food roll small fruit wild | purple | sweet round | ate / eat
cookie | food baked | | big sweet round | ate / eat
cake | food baked | | big little sweet | ate / eat
pie | food baked | | warm sweet big | ate / eat
bun | food baked | | warm sweet little | ate / eat
muffin | food baked | | warm sweet | ate / eat
sandwich | food | | big fresh | ate / eat
carrot | food | orange | long sweet big | ate / eat
pumpkin | big plant wild | orange yellow | big round | smelled / smell
sunflower | plant wild | yellow | long big pretty | smelled / smell
"""


def _thing(row: str) -> Thing:
    noun, traits, colours, looks, use = (cell.strip() for cell in row.split("|"))
    used, base = use.split(" / ")
    return Thing(
        noun, frozenset(traits.split()), tuple(colours.split()), tuple(looks.split()), used, base
    )


THINGS = {thing.noun: thing for thing in map(_thing, _THINGS.strip().splitlines())}

# noun | at | to | traits | spots
_PLACES = """
park | in the park | to the park | out | under the bench, behind the oak tree, in the tall grass
beach | at the beach | to the beach | out water | behind the rocks, in the wet sand, under the pier
forest | in the forest | into the forest | out wild | under a fern, behind a fallen log, in a hollow tree
garden | in the garden | into the garden | out soil | behind the roses, under the bean leaves, beside the gate
river | by the river | to the river | out wild water | in the reeds, under the willow, behind a wet rock
pond | by the pond | to the pond | out water | among the lilies, under the dock, beside a mossy log
hill | on the hill | up the hill | out wild | behind the wall, in the clover, beside the windmill
farm | at the farm | to the farm | out soil | behind the cart, in the henhouse, beside the fence
barn | in the barn | into the barn | in dry | in the hay, behind the door, under the saddle
market | at the market | to the market | out shop | under the fruit stand, behind the fish stand, beside the well
school | at school | to school | in | under a desk, behind the coats, beside the piano
library | in the library | to the library | in | between two shelves, behind the big chair, under the round table
meadow | in the meadow | to the meadow | out wild | among the daisies, behind the anthill, under the hedge
lake | by the lake | to the lake | out wild water | beside the canoe, under the bridge, behind a birch
cave | in the cave | into the cave | in dry | behind the tall rock, in the darkest corner, under a ledge
playground | at the playground | to the playground | out | under the slide, in the sandbox, behind the swings
kitchen | in the kitchen | into the kitchen | in home | under the table, behind the stove, on the top shelf
attic | in the attic | up to the attic | in home | behind the trunk, under a dusty sheet, behind the mirror
yard | in the yard | into the yard | out soil | behind the shed, under the porch, behind the woodpile
orchard | in the orchard | to the orchard | out soil | under an apple tree, in the wheelbarrow, behind a stump
shop | at the shop | to the shop | in shop | behind the counter, on the lowest shelf, beside the stairs
bakery | at the bakery | to the bakery | in shop | behind the oven, on a tray, beside the bread
home | at home | home | in home | under the bed, behind the sofa, behind the curtain
"""


def _place(row: str) -> Place:
    noun, at, to, traits, spots = (cell.strip() for cell in row.split("|"))
    return Place(noun, at, to, frozenset(traits.split()), tuple(spots.split(", ")))


PLACES = {place.noun: place for place in map(_place, _PLACES.strip().splitlines())}
SPOT_PLACES: dict[str, tuple[str, ...]] = {}
for _home in PLACES.values():
    for _spot in _home.spots:
        SPOT_PLACES[_spot] = (*SPOT_PLACES.get(_spot, ()), _home.noun)

# What one can learn.
SKILLS = ("swim", "skate", "ride a bike", "juggle", "climb trees", "tie a bow")
