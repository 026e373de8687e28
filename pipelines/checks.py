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
    failed = [check for check in result["checks"] if check["severity"] == "critical" and not check["passed"]]
    raise DataCheckFailed(
        "data that passes every critical check",
        came="; ".join(map(_sentence, failed)),
        do=f"look at {folder / REPORT} for the rows, and correct the source",
    )


def _read(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataCheckFailed("a result of the data checks", came=f"no {folder / RESULT}", do="run `dvc repro check`") from None


def _sentence(check: dict[str, Any]) -> str:
    where = f"{check['dataset']}.{check['column']}" if check["column"] else check["dataset"]
    rows = f", {check['rows']} rows" if check["rows"] else ""
    return f"{check['name']} on {where} (observed {check['observed']}, limit {check['limit']}{rows})"
