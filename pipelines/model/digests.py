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
    record = _record(folder)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(digest)


def recorded_digest(folder: Path) -> str:
    """Return the digest recorded for the version in `folder`, MODELS/CLASSIFIER/VERSION.

    Raises `HeadRefused` when there is none.
    """
    try:
        return _record(folder).read_text()
    except FileNotFoundError:
        do = f"run `perennial reproduce {folder.parent.name} {folder.name}` to record it again"
        raise HeadRefused(f"a recorded digest of {folder}", came="none", do=do) from None


def _record(folder: Path) -> Path:
    return folder.parents[1] / DIGESTS / folder.parent.name / folder.name


def write_judged_digest(folder: Path, digest: str) -> None:
    """Record the digest of the judged head of the version in `folder`."""
    record = _judged_record(folder)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(digest)


def recorded_judged_digest(folder: Path) -> str:
    """Return the digest recorded for the version's judged head.

    "" for a version of an earlier release, whose only head had not seen the test rows.
    """
    try:
        return _judged_record(folder).read_text()
    except FileNotFoundError:
        return ""


def _judged_record(folder: Path) -> Path:
    return _record(folder).with_name(f"{folder.name}.judged")


def write_abstention_digest(folder: Path, digest: str) -> None:
    """Record the digest of the rule of abstention of the version in `folder`."""
    record = _abstention_record(folder)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(digest)


def recorded_abstention_digest(folder: Path) -> str:
    """Return the digest recorded for the version's rule of abstention.

    "" for a version of an earlier release: its evaluation describes the rule, if it has one.
    """
    try:
        return _abstention_record(folder).read_text()
    except FileNotFoundError:
        return ""


def _abstention_record(folder: Path) -> Path:
    return _record(folder).with_name(f"{folder.name}.abstention")
