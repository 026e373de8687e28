"""The results of the data checks as values, and the gate before training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import DataCheckFailed

Severity = Literal["critical", "warning"]
RESULT = "result.json"
REPORT = "report.html"
MAX_EXAMPLES = 20

MENDS = {
    "usable": (
        "leave rows without a phrase or a label out of the query (`where ... is not null`), "
        "or raise checks.max_unusable_share"
    ),
    "ids_unique": (
        "make ids unique (a join may repeat rows), or leave the column id out of the query"
    ),
    "line_has_rows": (
        "name the column `region` in the query, or correct the regions of the lines in params.yaml"
    ),
    "volume": "correct the source, or lower checks.min_volume_ratio when fewer rows are intended",
    "unknown_label_share": (
        "correct the labels, or raise checks.max_unseen_label_share when the new ones are intended"
    ),
    "garbage_share": (
        "correct the encoding in the source or the query, or raise checks.max_garbage_share"
    ),
}
"""Critical check -> what to do when it fails."""


@dataclass(frozen=True)
class Check:
    """One expectation and its result.

    Attributes
    ----------
    observed, limit : float, int, str or None
        Shares of rows in [0, 1], counts, or times in ISO 8601, in one unit for both.
    rows : int
        Rows that fail; 0 when the check is not about single rows.
    examples : sequence of dict
        The first failing rows, at most MAX_EXAMPLES.
    classifier : str
        The only classifier that the check is about; "" for all of the data set or column.
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
    classifier: str = ""


def judge(checks: Iterable[Check]) -> Literal["pass", "warn", "fail"]:
    """Return "fail" after a critical failure, "warn" after another one, else "pass"."""
    failed = {check.severity for check in checks if not check.passed}
    if "critical" in failed:
        return "fail"
    return "warn" if failed else "pass"


def write_result(folder: Path, checks: Sequence[Check]) -> None:
    """Write result.json with `verdict` and `checks`; equal checks give equal bytes."""
    result = {"verdict": judge(checks), "checks": [_as_json(check) for check in checks]}
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (folder / RESULT).write_text(text, encoding="utf-8", errors="backslashreplace")


def _as_json(check: Check) -> dict[str, Any]:
    """Return the check; without `classifier` when it is about all: older files have no such key."""
    return {name: value for name, value in asdict(check).items() if name != "classifier" or value}


def require_checked(folder: Path = Path("build/check")) -> None:
    """Raise `DataCheckFailed` naming the critical checks that failed, with their counts."""
    result = _read(folder)
    if result["verdict"] == "fail":
        raise _refusal(folder, _critical_failures(result))


def refusals(folder: Path, subjects: Mapping[str, tuple[str, str]]) -> dict[str, DataCheckFailed]:
    """Return classifier -> error, for those that a critical check refuses.

    A failure in the label column of one classifier does not refuse the others of its data set.
    `subjects` maps each classifier to its data set and its label column.
    """
    failures = _critical_failures(_read(folder))
    refused = {}
    for name, subject in subjects.items():
        others = set(subjects.values()) - {subject}
        own = [
            check
            for check in failures
            if check["dataset"] == subject[0]
            and (check["dataset"], check["column"]) not in others
            and check.get("classifier", "") in ("", name)
        ]
        if own:
            refused[name] = _refusal(folder, own)
    return refused


def _critical_failures(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        check
        for check in result["checks"]
        if check["severity"] == "critical" and not check["passed"]
    ]


def _refusal(folder: Path, failed: Sequence[dict[str, Any]]) -> DataCheckFailed:
    return DataCheckFailed(
        "data that passes every critical check",
        came="; ".join(_describe(check) for check in failed),
        do=f"{_remedies(failed)}; {folder / REPORT} shows the rows",
    )


def _remedies(failed: Sequence[dict[str, Any]]) -> str:
    """Return the remedy of each kind of failure, once."""
    remedies = [MENDS.get(check["name"], "correct the source") for check in failed]
    return "; ".join(dict.fromkeys(remedies))


def _read(folder: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataCheckFailed(
            "a result of the data checks", came=f"no {folder / RESULT}", do="run `dvc repro check`"
        ) from None
    return result


def _describe(check: dict[str, Any]) -> str:
    subject = f"{check['dataset']}.{check['column']}" if check["column"] else check["dataset"]
    if check.get("classifier"):
        subject += f" for {check['classifier']}"
    rows = f", {check['rows']} rows" if check["rows"] else ""
    figures = f"observed {check['observed']}, limit {check['limit']}{rows}"
    return f"{check['name']} on {subject} ({figures})"
