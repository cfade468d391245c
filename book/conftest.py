"""nbval starts its kernels from here: they must see what the notebook runner's kernels saw."""

import importlib.util
import os
from pathlib import Path

_path = Path(__file__).resolve().parent.parent / "scripts" / "notebooks.py"
_spec = importlib.util.spec_from_file_location("notebooks", _path)
_notebooks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_notebooks)

os.environ.update(_notebooks.KERNEL_ENVIRONMENT)
