"""What checks the types of arguments and results while the tests run."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# Of a list, beartype looks at one element, by chance. Where that is an int among floats, which is
# a float to Python's type checkers, the same test would pass today and fail tomorrow.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
