"""Places: where sources are, what is built of them, and what a run may write.

In a checkout all stands in one folder, and `build/` holds what is made. The package of
the compiler is such a folder too, with the library's objects in its `build/`, but only
to be read: what a run makes goes to the user's cache folder, which the command
ops-wasm32 names.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build"  # the full library, in a folder for each target
CHECKOUT = (ROOT / "dodo.py").exists()
CACHE_VARIABLE = "OPS_WASM32_CACHE"


def _work() -> Path:
    """Where caches and profiles' libraries go."""
    given = os.environ.get(CACHE_VARIABLE)
    return BUILT if CHECKOUT or not given else Path(given) / "compiler"


WORK = _work()
