"""Records the digests of every registered version in the model store.

Whoever loads a version needs neither MLflow nor the database to check it.
"""

from __future__ import annotations

from pathlib import Path

from core.errors import HeadRefused

DIGESTS = ".digests"


def write_digest(folder: Path, digest: str) -> None:
    """Record the digest of a registered version whose head lies in `folder`.

    The record lies outside `folder`, so that whatever changes the head does not change it.
    """
    _write(_record(folder), digest)


def recorded_digest(folder: Path) -> str:
    """Return the digest recorded for the version in `folder`, MODELS/CLASSIFIER/VERSION.

    Raises `HeadRefused` when there is none.
    """
    digest = _read(_record(folder))
    if not digest:
        do = f"run `perennial reproduce {folder.parent.name} {folder.name}` to record it again"
        raise HeadRefused(f"a recorded digest of {folder}", came="none", do=do)
    return digest


def write_judged_digest(folder: Path, digest: str) -> None:
    """Record the digest of the judged head of the version in `folder`."""
    _write(_record(folder, "judged"), digest)


def recorded_judged_digest(folder: Path) -> str:
    """Return the digest recorded for the version's judged head.

    "" for a version of an earlier release, whose only head had not seen the test rows.
    """
    return _read(_record(folder, "judged"))


def write_abstention_digest(folder: Path, digest: str) -> None:
    """Record the digest of the rule of abstention of the version in `folder`."""
    _write(_record(folder, "abstention"), digest)


def recorded_abstention_digest(folder: Path) -> str:
    """Return the digest recorded for the version's rule of abstention.

    "" for a version of an earlier release: its evaluation describes the rule, if it has one.
    """
    return _read(_record(folder, "abstention"))


def _record(folder: Path, part: str = "") -> Path:
    name = f"{folder.name}.{part}" if part else folder.name
    return folder.parents[1] / DIGESTS / folder.parent.name / name


def _write(record: Path, digest: str) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(digest)


def _read(record: Path) -> str:
    """Return the digest, "" without a record."""
    try:
        return record.read_text()
    except FileNotFoundError:
        return ""
