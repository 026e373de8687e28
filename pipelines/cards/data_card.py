"""The data card of a version: the rows that it learnt from, from its facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipelines.cards.card import Card, Facts, Section, Sentence, Table, Writer, ask, plain, step
from pipelines.cards.model_card import purpose

TOP_LABELS = 10


def data_card(facts: Facts) -> Card:
    """Return the card."""
    write = Writer(facts)
    sections = [
        Section("What it is for", purpose(write)),
        Section("Source", _source(write)),
        Section("Rows", list(_rows(write))),
        _labels(write),
        _groups(write),
        _checks(write),
        Section("Limits", _limits()),
    ]
    title = f"Data card: {facts['classifier']} version {facts['version']}"
    return Card(title, [part for part in sections if part.sentences or part.tables])


def _source(write: Writer) -> list[Sentence]:
    sentences = [
        write.say(
            "The column {label} of {query} is the right label of each phrase.",
            label="params/source/label:text",
            query="params/source/query:text",
        )
    ]
    if write.knows("snapshot"):
        sentences.append(
            write.say(
                "Snapshot {hash} of {moment} has {rows} rows; Git keeps it as {tag}.",
                hash="snapshot/logical_hash:text",
                moment="snapshot/as_of:text",
                rows="snapshot/rows:count",
                tag="snapshot/git_tag:text",
            )
        )
    return sentences


def _rows(write: Writer) -> Iterator[Sentence]:
    if not write.knows("split"):
        yield plain("What became of the rows was not recorded.")
        return
    yield write.say(
        "Of {stored} rows, {used} were used: {train} to train and {test} to test.",
        stored="split/stored_rows:count",
        used="split/rows:count",
        train="split/train_rows:count",
        test="split/test_rows:count",
    )
    if write.knows("split/rows_of_other_regions"):
        yield write.say(
            "{others} more rows are of other regions.", others="split/rows_of_other_regions:count"
        )
    yield write.say(
        "Left out: {old} rows before the history, {unusable} without a label or a phrase to learn "
        "from, and {rare} of labels with too few rows.",
        old="split/rows_before_history:count",
        unusable="split/unusable_rows:count",
        rare="split/left_out_rows:count",
    )
    yield write.say(
        "The used rows come from {first} to {last}.",
        first="split/first:text",
        last="split/last:text",
    )


def _labels(write: Writer) -> Section:
    column = ask("params/source/label", write.facts)
    place = f"snapshot/summary/labels/{step(column)}"
    counts: Mapping[str, int] = ask(place, write.facts) or {}
    top = sorted(counts, key=lambda name: (-counts[name], name))[:TOP_LABELS]
    if not top:
        return Section("Labels")
    rows = [[plain(name), *write.cells(f"{place}/{step(name)}:count")] for name in top]
    sentence = write.say(
        "The snapshot has {labels} labels; these are the most frequent.",
        labels="snapshot_labels:count",
    )
    return Section("Labels", [sentence], [Table(("label", "rows"), rows)])


def _groups(write: Writer) -> Section:
    measures = ask("bias/measures", write.facts) or []
    rows = []
    for place, row in enumerate(measures):
        if row["kind"] != "representation":
            continue
        query = f"bias/measures/{place}"
        often = f"{query}/missing:text" if row["missing"] else f"{query}/value:number"
        named = f"{row['dimension']}: {row['group']}"
        rows.append([plain(named), *write.cells(f"{query}/rows:count", often)])
    if not rows:
        return Section("Groups")
    columns = ("group", "recent rows", "times as often as in the training rows")
    return Section("Groups", tables=[Table(columns, rows)])


def _checks(write: Writer) -> Section:
    checks = ask("checks/checks", write.facts) or []
    failed = [place for place, check in enumerate(checks) if not check["passed"]]
    if not checks:
        return Section("Checks", [plain("The data checks of its run were not recorded.")])
    sentence = write.say(
        "Of {all} data checks {failed} did not pass. The run said: {verdict}.",
        all="checks_made:count",
        failed="checks_failed:count",
        verdict="checks/verdict:text",
    )
    rows = [
        [
            plain(f"{checks[place]['name']} {checks[place]['column'] or ''}".strip()),
            *write.cells(
                f"checks/checks/{place}/severity:text",
                f"checks/checks/{place}/observed:text",
                f"checks/checks/{place}/limit:text",
            ),
        ]
        for place in failed
    ]
    table = [Table(("check", "severity", "observed", "limit"), rows)] if rows else []
    return Section("Checks", [sentence], table)


def _limits() -> list[Sentence]:
    return [
        plain(
            "Phrases are kept as the source has them. Nothing removes names or other personal "
            "data from them."
        ),
        plain(
            "Labels are those of the source and of people's feedback. Feedback replaces the "
            "label of its row."
        ),
        plain("What the source leaves out, the classifier cannot learn."),
    ]
