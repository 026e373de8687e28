"""Array types by dtype; shapes stand in docstrings, where (n,) is one value per phrase or row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt32 = NDArray[np.uint32]
UInt64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]
Strings = NDArray[Any]
"""Of Python strings (object) or of numpy's fixed width (U)."""
AnyArray = NDArray[Any]
"""An array whose dtype is data: as a head file stores it."""

MAX_LABELS = 65_535
"""Heads and memories number their labels in 16 bits."""
