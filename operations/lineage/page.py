"""What people see of a lineage, a replay or a reproduction: names and sentences, made from the facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from core.contracts import Prediction
from operations.lineage.replay import Replayed
from operations.lineage.reproduce import Reproduction

Rows = list[tuple[str, str]]
Facts = Mapping[str, Any]
SHOWN_METRICS = (
    "weighted_f1",
    "unseen_weighted_f1",
    "macro_f1",
    "accuracy",
    "calibration_error",
    "rows",
)
SHOWN_VERDICTS = 6
SHOWN_HASH = 19  # of a hash: "sha256:" and twelve digits


def version_rows(facts: Facts) -> Rows:
    """One screen on a version."""
    snapshot, code, head, mlflow = (facts[name] for name in ("snapshot", "code", "head", "mlflow"))
    metrics = [
        f"{name} {mlflow['metrics'][name]:g}" for name in SHOWN_METRICS if name in mlflow["metrics"]
    ]
    return [
        (
            "version",
            f"{facts['version']} of {facts['classifier']}, made by run {facts['run']}: {facts['reason']}",
        ),
        ("source", _source(facts["source"])),
        ("", _query(facts["source"]["text"])),
        ("snapshot", _snapshot(snapshot)),
        (
            "",
            f"{_or_unknown(facts['feedback']['rows'])} of its rows came from feedback on this classifier's answers",
        ),
        (
            "code",
            _code(code),
        ),
        (
            "params",
            yaml.safe_dump(
                facts["params"], default_flow_style=True, sort_keys=False, width=10**6
            ).strip(),
        ),
        (
            "embedder",
            f"{facts['embedder']['embedder_id']} ({facts['embedder']['handle'] or 'NOT KEPT HERE'})",
        ),
        (
            "head",
            f"{_short(head['digest'])}, {'verified in the model store' if head['verified'] else 'NOT VERIFIED: ' + head['problem']}",
        ),
        ("checks", _checks(facts["checks"])),
        *_titled("verdicts", _verdicts(facts["verdicts"])[-SHOWN_VERDICTS:], none="none recorded"),
        *_titled("answered", [_span(row) for row in facts["deployments"]], none="never"),
        ("drift", _windows(facts["drift"])),
        ("MLflow", f"run {mlflow['run_id']}: {', '.join(metrics)}"),
        (
            "made with",
            ", ".join(f"{name} {value}" for name, value in facts["surroundings"].items())
            or "not recorded",
        ),
    ]


def request_rows(facts: Facts) -> Rows:
    """One screen on an answer: what was said, what people said of it, what was learnt, and the version behind it."""
    told = [
        f"{row['received_at']:%Y-%m-%d %H:%M}: {row['label']}, by {row['author']}"
        for row in facts["feedback"]
    ]
    return [
        ("request", facts["request_id"]),
        *_titled("answers", [_answer(row) for row in facts["answers"]], none="none"),
        *_titled("feedback", told, none="none received"),
        ("learnt", _learnt(facts["learnt"], received=bool(told))),
        *version_rows(facts["version"]),
    ]


def reproduction_rows(result: Reproduction) -> Rows:
    """The verdict first, then what differs."""
    examples = result.verdict.evidence["rows"].get("examples", ())
    return [
        (
            result.verdict.kind,
            f"version {result.version} of {result.classifier}, trained again from {result.tag} in {result.seconds} s",
        ),
        *[("", reason) for reason in result.verdict.reasons],
        *[("row", _example(row)) for row in examples],
        *[("note", note) for note in result.notes],
        *[("restored", folder) for folder in result.restored],
    ]


def replay_rows(rows: Sequence[Replayed]) -> Rows:
    """Both answers of every row, one above the other."""
    told: Rows = []
    for row in rows:
        told.append(
            (
                row.verdict.kind,
                f"version {row.version} ({row.role}), {row.occurred_at:%Y-%m-%d %H:%M:%S}: {row.phrase}",
            )
        )
        told += [("", reason) for reason in row.verdict.reasons]
        told.append(("logged", _prediction(row.logged)))
        told.append(("replayed", _prediction(row.replayed) if row.replayed else "not computed"))
    return told


def _titled(title: str, lines: Sequence[str], *, none: str) -> Rows:
    return [(title if place == 0 else "", line) for place, line in enumerate(lines or [none])]


def _source(source: Facts) -> str:
    held = (
        "as its text hashes"
        if source["verified"]
        else "NOT the hash of the text below"
        if source["query_hash"]
        else "NOT recorded here"
    )
    return f"{source.get('query', 'unknown')}, label {source.get('label', 'unknown')}; hash {_short(source['query_hash'])}, {held}"


def _query(text: str | None) -> str:
    """In one paragraph, without its comments; `--json` has it as it is."""
    lines = (line.strip() for line in (text or "its text is not in this repository").splitlines())
    return " ".join(line for line in lines if not line.startswith("--"))


def _snapshot(snapshot: Facts) -> str:
    if "rows" not in snapshot:
        return f"not in the snapshot table; data.dvc {snapshot['data_md5']}"
    told = (
        f"{snapshot['dataset']}: {snapshot['rows']} rows as of {snapshot['as_of']:%Y-%m-%d %H:%M}"
    )
    return (
        f"{told}; hash {_short(snapshot['logical_hash'])}, data.dvc {_short(snapshot['data_md5'])}"
    )


def _windows(drift: Mapping[str, int]) -> str:
    return f"windows of its answers: {', '.join(f'{count} {kind}' for kind, count in drift.items()) or 'none judged yet'}"


def _code(code: Facts) -> str:
    held = "" if code["tag_holds"] else " (NOT FOUND THERE)"
    return f"tag {code['tag']}{held}, commit {_short(code['commit'])}, published on top of {_short(code.get('parent', 'an unknown commit'))}"


def _short(text: str | None) -> str:
    return (text or "unknown")[:SHOWN_HASH]


def _checks(checks: Facts | None) -> str:
    if checks is None:
        return "their page is not kept here"
    failed = f", not passed: {', '.join(checks['failed'])}" if checks["failed"] else ""
    return f"{checks['verdict']}: {checks['checks']} checks{failed}; {checks['page']}"


def _verdicts(rows: Sequence[Facts]) -> list[str]:
    """A promotion rests on the gate's words: they are told once."""
    told, rows = (
        [],
        [row for row in rows if row["subject"] != "drift"],
    )  # the windows have a line of their own
    for before, row in zip([None, *rows], rows, strict=False):
        again = before is not None and before["reasons"] == row["reasons"]
        reasons = "for the same reason" if again else "; ".join(row["reasons"])
        told.append(
            f"{row['decided_at']:%Y-%m-%d %H:%M} {row['subject']}: {row['kind']}, {reasons}"
        )
    return told


def _span(row: Facts) -> str:
    until = f"to {row['until']:%Y-%m-%d %H:%M}" if row["until"] else "until now"
    digest = "" if row["digest_holds"] else " (ANOTHER HEAD DIGEST)"
    return f"{row['since']:%Y-%m-%d %H:%M} {until} as {row['role']}: {row['why']}{digest}"


def _answer(row: Facts) -> str:
    where = "; still in the journal" if "journal" in row["flags"] else ""
    told = f"{row['label']} ({row['probability']:.3f}) by version {row['version']} ({row['role']})"
    return f"{told} at {row['occurred_at']:%Y-%m-%d %H:%M:%S} for {row['phrase']!r}{where}"


def _learnt(learnt: Facts | None, *, received: bool) -> str:
    if learnt is None:
        return "by no version yet" if received else "nothing: no feedback"
    row, snapshot = learnt["row"], learnt["snapshot"]
    part = (
        f"its row is in {snapshot.get('dataset')}, part {row['part']!r}"
        if row
        else "the DVC cache no longer holds its rows"
    )
    return f"first by version {learnt['version']}, from {snapshot.get('git_tag')}: {part}"


def _example(row: Facts) -> str:
    said = [
        f"{name} {row[name]['predicted']} ({row[name]['probability']:.6f})"
        for name in ("recorded", "repeated")
    ]
    return f"{row['cleaned']!r} (right: {row['label']}): {', '.join(said)}"


def _prediction(answer: Prediction) -> str:
    return ", ".join(
        f"{label} {share:.6f}"
        for label, share in [(answer.label, answer.probability), *answer.alternatives]
    )


def _or_unknown(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)
