"""The look of every figure in the book: one palette, one matplotlib style, deterministic SVG.

Every colour here keeps a contrast of 3:1 or better on the light page and on the dark one (WCAG 2.1,
1.4.11), so a picture needs no card behind it; the grounds are listed in ``GROUNDS`` and
``tests/figures/test_kit.py`` computes the ratios. The series colours also stay apart for
colour-blind readers, and the line style changes along with the colour, so that no line is told by
colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap, to_rgba

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # newer than the oldest matplotlib that draws the book

INK = "#767c85"
BLUE, ORANGE, GREEN, ROSE, VIOLET = "#1684ea", "#b45a00", "#1e875a", "#e14b87", "#965ab4"
PALETTE = (BLUE, ORANGE, GREEN, ROSE, VIOLET)

#: The grounds a figure may stand on: page and box, light and dark.
GROUNDS = ("#ffffff", "#f3f4f5", "#121212", "#222832")

_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

STYLE: dict[RcKeyType, Any] = {
    "figure.figsize": (4.6, 2.8),
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "savefig.bbox": None,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=_LINES),
    "font.size": 9.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "grid.alpha": 0.25,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "image.cmap": "lt-sequential",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "patch.linewidth": 0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "llama-tutorial",
}


def _fade(name: str, *stops: tuple[str, float]) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list(name, [to_rgba(color, a) for color, a in stops])


#: Zero is the page itself, more is more ink: the same order of contrast on light and on dark.
SEQUENTIAL = _fade("lt-sequential", (BLUE, 0.0), (BLUE, 1.0))
#: Negative is orange, positive is blue, zero is the page itself.
DIVERGING = _fade("lt-diverging", (ORANGE, 1.0), (ORANGE, 0.0), (BLUE, 0.0), (BLUE, 1.0))

for _colormap in (SEQUENTIAL, DIVERGING):
    if _colormap.name not in mpl.colormaps:  # matplotlib warns where it is there from before
        mpl.colormaps.register(_colormap)
