"""What a training ran on: the versions and the processor that floating-point results depend on."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "tensorflow",
    "keras",
    "tensorflow-text",
    "ai-edge-litert",
    "sentencepiece",
    "pyarrow",
    "matplotlib",
    "great-expectations",
)


def surroundings() -> dict[str, str]:
    """Python, processor, and the libraries that shape an output of a stage."""
    return {
        "python": platform.python_version(),
        "processor": _processor(),
        **{name: _installed(name) for name in LIBRARIES},
    }


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """One sentence a difference, such as "numpy 2.4.1 became 2.5.0"; empty when nothing was recorded before."""
    return [
        f"{name} {before[name]} became {now.get(name, 'none')}"
        for name in before
        if before[name] != now.get(name)
    ]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    """The model: kernels are chosen by it. Linux tells it in a file; elsewhere the architecture must do."""
    told = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", told.read_text()) if told.is_file() else None
    return f"{platform.machine()} {named[1].strip() if named else platform.processor()}".strip()
