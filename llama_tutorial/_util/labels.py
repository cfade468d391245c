"""The label that stands for no label; here, so that NumPy alone is enough to know it."""

from __future__ import annotations

IGNORE = -100
"""The label of a token that has no loss; torch's ``cross_entropy`` has the same default."""
