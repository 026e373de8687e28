"""The digest of every registered version, written down in the model store for whoever loads it: no MLflow and no database is asked."""

from __future__ import annotations

from pathlib import Path

from core.errors import HeadRefused

DIGESTS = ".digests"


def write_digest(folder: Path, digest: str) -> None:
    """Write down the digest of a registered version whose head lies in `folder`, apart from it: what changes the head leaves it alone."""
    record = _record(folder)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(digest)


def recorded_digest(folder: Path) -> str:
    """The digest that was written down when the version in `folder`, MODELS/CLASSIFIER/VERSION, was registered; raises `HeadRefused`."""
    try:
        return _record(folder).read_text()
    except FileNotFoundError:
        do = f"`perennial reproduce {folder.parent.name} {folder.name}` writes it down again"
        raise HeadRefused(f"a recorded digest of {folder}", came="none", do=do) from None


def _record(folder: Path) -> Path:
    return folder.parents[1] / DIGESTS / folder.parent.name / folder.name
