"""nbval's kernels must see what the notebook runner's kernels saw."""

import os

from notebooks import KERNEL_ENVIRONMENT

os.environ.update(KERNEL_ENVIRONMENT)
