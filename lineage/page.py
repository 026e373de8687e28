"""Presents lineages, replays and reproductions: rows of a name and a sentence, from facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from core.contracts import Prediction
from lineage.replay import Replayed
from lineage.reproduce import Reproduction

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
SHOWN_HASH = 19  # characters of a hash: "sha256:" and twelve digits


def version_rows(facts: Facts) -> Rows:
    """One screen about a version."""
    verdicts = _verdicts(facts["verdicts"])[-SHOWN_VERDICTS:]
    periods = [_period(row) for row in facts["deployments"]]
    return [
        ("version", _version(facts)),
        ("source", _source(facts["source"])),
        ("", _query(facts["source"]["text"])),
        ("snapshot", _snapshot(facts["snapshot"])),
        ("", _feedback_rows(facts["feedback"]["rows"])),
        ("code", _code(facts["code"])),
        ("params", _params(facts["params"])),
        ("embedder", _embedder(facts["embedder"])),
        ("head", _head(facts["head"])),
        ("checks", _checks(facts["checks"])),
        *_titled("verdicts", verdicts, none="none recorded"),
        *_titled("answered", periods, none="never"),
        ("drift", _windows(facts["drift"])),
        ("MLflow", _mlflow(facts["mlflow"])),
        ("made with", _provenance(facts["surroundings"])),
    ]


def request_rows(facts: Facts) -> Rows:
    """One screen about an answer: its feedback, what was learned from it, and its version."""
    feedback = [
        f"{row['received_at']:%Y-%m-%d %H:%M}: {row['label'] or 'none of these'}"
        f", by {row['author']}"
        for row in facts["feedback"]
    ]
    return [
        ("request", facts["request_id"]),
        *_titled("answers", [answer_line(row) for row in facts["answers"]], none="none"),
        *([("pinned", _pin(facts["pin"]))] if facts["pin"] else []),
        *_titled("feedback", feedback, none="none received"),
        ("learned", _learned(facts["learnt"], received=bool(feedback))),
        *version_rows(facts["version"]),
    ]


def reproduction_rows(result: Reproduction) -> Rows:
    """The verdict first, then the differences."""
    examples = result.verdict.evidence["rows"].get("examples", ())
    version = f"version {result.version} of {result.classifier}"
    return [
        (
            result.verdict.kind,
            f"{version}, trained again from {result.tag} in {result.seconds} s",
        ),
        *[("", reason) for reason in result.verdict.reasons],
        *[("row", _example(row)) for row in examples],
        *[("note", note) for note in result.notes],
        *[("restored", folder) for folder in result.restored],
    ]


def replay_rows(rows: Sequence[Replayed]) -> Rows:
    """Both answers of every row, one above the other."""
    shown: Rows = []
    for row in rows:
        version = f"version {row.version} ({row.role}), {row.occurred_at:%Y-%m-%d %H:%M:%S}"
        replayed = _prediction(row.replayed) if row.replayed else "not computed"
        shown.append((row.verdict.kind, f"{version}: {row.phrase}"))
        shown += [("", reason) for reason in row.verdict.reasons]
        shown.append(("logged", _prediction(row.logged)))
        shown.append(("replayed", replayed))
        shown += [("pinned", _pin(asdict(row.pin)))] if row.pin else []
    return shown


def _titled(title: str, lines: Sequence[str], *, none: str) -> Rows:
    return [(title if place == 0 else "", line) for place, line in enumerate(lines or [none])]


def _version(facts: Facts) -> str:
    version = f"{facts['version']} of {facts['classifier']}"
    return f"{version}, made by run {facts['run']}: {facts['reason']}"


def _source(source: Facts) -> str:
    query = source.get("query", "unknown")
    label = source.get("label", "unknown")
    state = _hash_state(source)
    return f"{query}, label {label}; hash {_short(source['query_hash'])}, {state}"


def _hash_state(source: Facts) -> str:
    if source["verified"]:
        return "matches the text below"
    if source["query_hash"]:
        return "DOES NOT MATCH the text below"
    return "NOT recorded here"


def _query(text: str | None) -> str:
    """The query in one paragraph, without comments; `--json` prints it unchanged."""
    lines = (line.strip() for line in (text or "its text is not in this repository").splitlines())
    return " ".join(line for line in lines if not line.startswith("--"))


def _snapshot(snapshot: Facts) -> str:
    data = f"data.dvc {_short(snapshot['data_md5'])}"
    if "rows" not in snapshot:
        return f"not in the snapshot table; {data}"
    moment = f"{snapshot['as_of']:%Y-%m-%d %H:%M}"
    rows = f"{snapshot['dataset']}: {snapshot['rows']} rows as of {moment}"
    return f"{rows}; hash {_short(snapshot['logical_hash'])}, {data}"


def _feedback_rows(count: int | None) -> str:
    number = "an unknown number" if count is None else str(count)
    return f"{number} of its rows came from feedback on this classifier's answers"


def _windows(drift: Mapping[str, int]) -> str:
    counts = ", ".join(f"{count} {kind}" for kind, count in drift.items())
    return f"windows of its answers: {counts or 'none judged yet'}"


def _code(code: Facts) -> str:
    tag = code["tag"] if code["tag_holds"] else f"{code['tag']} (NOT FOUND THERE)"
    parent = _short(code.get("parent", "an unknown commit"))
    return f"tag {tag}, commit {_short(code['commit'])}, published on top of {parent}"


def _params(params: Facts) -> str:
    text = yaml.safe_dump(dict(params), default_flow_style=True, sort_keys=False, width=10**6)
    return str(text).strip()


def _embedder(embedder: Facts) -> str:
    return f"{embedder['embedder_id']} ({embedder['handle'] or 'NOT IN THIS STORE'})"


def _head(head: Facts) -> str:
    if head["verified"]:
        return f"{_short(head['digest'])}, verified in the model store"
    return f"{_short(head['digest'])}, NOT VERIFIED: {head['problem']}"


def _mlflow(mlflow: Facts) -> str:
    metrics = mlflow["metrics"]
    shown = [f"{name} {metrics[name]:g}" for name in SHOWN_METRICS if name in metrics]
    return f"run {mlflow['run_id']}: {', '.join(shown)}"


def _provenance(versions: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {value}" for name, value in versions.items())
    return shown or "not recorded"


def _short(text: str | None) -> str:
    return (text or "unknown")[:SHOWN_HASH]


def _checks(checks: Facts | None) -> str:
    if checks is None:
        return "their page is not in this home"
    failed = f", not passed: {', '.join(checks['failed'])}" if checks["failed"] else ""
    return f"{checks['verdict']}: {checks['checks']} checks{failed}; {checks['page']}"


def _verdicts(rows: Sequence[Facts]) -> list[str]:
    """One line per decision, without the drift verdicts, which have a line of their own.

    A promotion repeats the reasons of the gate: they are shown once.
    """
    rows = [row for row in rows if row["subject"] != "drift"]
    lines = []
    for before, row in zip([None, *rows], rows, strict=False):
        repeated = before is not None and before["reasons"] == row["reasons"]
        reasons = "for the same reason" if repeated else "; ".join(row["reasons"])
        decided = f"{row['decided_at']:%Y-%m-%d %H:%M} {row['subject']}"
        person = f" (by {row['by']})" if row.get("by") else ""
        lines.append(f"{decided}: {row['kind']}, {reasons}{person}")
    return lines


def _period(row: Facts) -> str:
    until = f"to {row['until']:%Y-%m-%d %H:%M}" if row["until"] else "until now"
    digest = "" if row["digest_holds"] else " (ANOTHER HEAD DIGEST)"
    return f"{row['since']:%Y-%m-%d %H:%M} {until} as {row['role']}: {row['why']}{digest}"


def answer_line(row: Facts) -> str:
    """One logged answer."""
    label = f"{row['label']} ({row['probability']:.3f})"
    version = f"version {row['version']} ({row['role']})"
    if row["revision"] is not None:
        version += f" with revision {row['revision']} of the memory"
    where = "; still in the journal" if "journal" in row["flags"] else ""
    moment = f"{row['occurred_at']:%Y-%m-%d %H:%M:%S}"
    return f"{label} by {version} at {moment} for {row['phrase']!r}{where}"


def _pin(pin: Facts) -> str:
    until = f" to {pin['until']:%Y-%m-%d %H:%M}" if pin["until"] else ""
    since = f"{pin['since']:%Y-%m-%d %H:%M}"
    number = f"pin {pin['id']} of {pin['author']}, {since}{until}"
    return f"the client got {pin['label']} by {number}: {pin['why']}"


def _learned(learned: Facts | None, *, received: bool) -> str:
    if learned is None:
        return "by no version yet" if received else "nothing: no feedback"
    row = learned["row"]
    snapshot = learned["snapshot"]
    if row:
        part = f"its row is in {snapshot.get('dataset')}, part {row['part']!r}"
    else:
        part = "the DVC cache no longer holds its rows"
    return f"first by version {learned['version']}, from {snapshot.get('git_tag')}: {part}"


def _example(row: Facts) -> str:
    predictions = [
        f"{name} {row[name]['predicted']} ({row[name]['probability']:.6f})"
        for name in ("recorded", "repeated")
    ]
    return f"{row['cleaned']!r} (right: {row['label']}): {', '.join(predictions)}"


def _prediction(answer: Prediction) -> str:
    shares = [(answer.label, answer.probability), *answer.alternatives]
    return ", ".join(f"{label} {share:.6f}" for label, share in shares)
