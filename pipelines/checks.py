"""What the data checks found, as values; and the gate in front of training. No Great Expectations here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import DataCheckFailed

Severity = Literal["critical", "warning"]
RESULT, REPORT = "result.json", "report.html"
MAX_EXAMPLES = 20


MENDS = {
    "usable": "leave rows without a phrase or a label out of the query (`where ... is not null`), or raise checks.max_unusable_share",
    "ids_unique": "let an id name one row (a join may repeat rows), or leave id out of the query",
    "volume": "correct the source, or lower checks.min_volume_ratio when fewer rows are meant",
    "unknown_label_share": "correct the labels, or raise checks.max_unseen_label_share when so many new ones are meant",
    "garbage_share": "correct the encoding in the source or the query, or raise checks.max_garbage_share",
}
"""Critical check -> what mends it."""


@dataclass(frozen=True)
class Check:
    """One expectation and what came of it.

    Attributes
    ----------
    observed, limit : float, int, str or None
        Shares of rows in [0, 1], counts, or times in ISO 8601, in one unit for both.
    rows : int
        Offending rows; 0 where the check is not about single rows.
    examples : sequence of dict
        The first of them, at most MAX_EXAMPLES.
    """

    name: str
    dataset: str
    column: str | None
    severity: Severity
    passed: bool
    observed: float | int | str | None
    limit: float | int | str | None
    rows: int = 0
    examples: Sequence[dict[str, Any]] = field(default_factory=tuple)


def judge(checks: Iterable[Check]) -> Literal["pass", "warn", "fail"]:
    """Critical failures fail, others warn."""
    failed = {check.severity for check in checks if not check.passed}
    if "critical" in failed:
        return "fail"
    return "warn" if failed else "pass"


def write_result(folder: Path, checks: Sequence[Check]) -> None:
    """Write result.json: {"verdict", "checks"}; equal checks give equal bytes."""
    result = {"verdict": judge(checks), "checks": [asdict(check) for check in checks]}
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (folder / RESULT).write_text(text, encoding="utf-8", errors="backslashreplace")


def require_checked(folder: Path = Path("build/check")) -> None:
    """Return when no critical check failed; raise `DataCheckFailed` naming those that did, with their counts."""
    result = _read(folder)
    if result["verdict"] != "fail":
        return
    failed = [
        check
        for check in result["checks"]
        if check["severity"] == "critical" and not check["passed"]
    ]
    raise DataCheckFailed(
        "data that passes every critical check",
        came="; ".join(map(_sentence, failed)),
        do=f"{_mends(failed)}; {folder / REPORT} shows the rows",
    )


def _mends(failed: Sequence[dict[str, Any]]) -> str:
    """What to do about each kind of failure, once."""
    return "; ".join(
        dict.fromkeys(MENDS.get(check["name"], "correct the source") for check in failed)
    )


def _read(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataCheckFailed(
            "a result of the data checks", came=f"no {folder / RESULT}", do="run `dvc repro check`"
        ) from None


def _sentence(check: dict[str, Any]) -> str:
    where = f"{check['dataset']}.{check['column']}" if check["column"] else check["dataset"]
    rows = f", {check['rows']} rows" if check["rows"] else ""
    return (
        f"{check['name']} on {where} (observed {check['observed']}, limit {check['limit']}{rows})"
    )
