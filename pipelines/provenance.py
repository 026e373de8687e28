"""What a training ran on: the versions and the processor that its results depend on."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from core.params.schema import Params, load_params
from pipelines.git_repository import file_at

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


def training_environment() -> dict[str, str]:
    """Return the versions of Python and of the libraries that shape outputs, and the processor."""
    return {
        "python": platform.python_version(),
        "processor": _processor(),
        **{name: _installed(name) for name in LIBRARIES},
    }


def params_at(repository: Path, revision: str) -> Params | None:
    """Return params.yaml as of a commit; None when there is no such commit or file.

    Raises `ParamsError` for keys that are no longer known.
    """
    text = file_at(repository, revision, "params.yaml")
    if text is None:
        return None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return load_params(path)


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return one sentence per difference, such as "numpy 2.4.1 became 2.5.0"."""
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
    """Return architecture and model: libraries choose their kernels by them.

    The model is known on Linux only.
    """
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    name = model[1].strip() if model else platform.processor()
    return f"{platform.machine()} {name}".strip()
