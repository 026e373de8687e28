"""`perennial answers` and `quality`: what was answered, and how good it was."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.context import command_context
from cli.output import Json, output

if TYPE_CHECKING:
    from monitoring.answers import FoundAnswer, Search
    from monitoring.performance.quality import Quality

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
CSV_COLUMNS = ("request_id", "label", "author", "answer", "confidence", "answered_at", "phrase")
"""The first three are those of `perennial feedback import`, which gives no other a meaning."""

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Text = Annotated[
    str | None, typer.Option(help="Words or parts of words of the phrase, in any order.")
]
Label = Annotated[str | None, typer.Option(help="The label that was answered.")]
Version = Annotated[str | None, typer.Option(help="The version that answered.")]
Below = Annotated[
    float | None, typer.Option(min=0, max=1, help="Answers with a lower probability.")
]
Since = Annotated[datetime | None, typer.Option(formats=FORMATS, help="In UTC.")]
Until = Annotated[datetime | None, typer.Option(formats=FORMATS, help="In UTC, exclusive.")]
Unlabelled = Annotated[bool, typer.Option("--unlabelled", help="Answers without a right label.")]
Abstained = Annotated[bool, typer.Option("--abstained", help='Answers with "none of these".')]
Limit = Annotated[int, typer.Option(min=1, help="How many answers, newest first.")]
Csv = Annotated[
    bool,
    typer.Option("--csv", help="Print CSV: fill in label and author for `feedback import`."),
]
Days = Annotated[int, typer.Option(min=1, help="How far back.")]
By = Annotated[Literal["day", "week", "month"], typer.Option(help="Length of a row, in UTC.")]
COLUMNS = ("when", "request id", "version", "label", "p", "right", "phrase")


def register(app: typer.Typer) -> None:
    """Add `answers` and `quality`."""
    app.command(
        epilog="Example: perennial answers block --text cough --below 0.6 --csv > to_label.csv"
    )(answers)
    app.command(epilog="Example: perennial quality block --by month --days 365")(quality)


def answers(
    classifier: Classifier,
    text: Text = None,
    label: Label = None,
    version: Version = None,
    below: Below = None,
    since: Since = None,
    until: Until = None,
    unlabelled: Unlabelled = False,
    abstained: Abstained = False,
    limit: Limit = 20,
    as_csv: Csv = False,
    json: Json = False,
) -> None:
    """Search the log of answers, newest first.

    With --csv, right labels that are already known are filled in.
    """
    from monitoring.answers import Search

    search = Search(
        classifier,
        text=text,
        label=label,
        version=version,
        below=below,
        since=_in_utc(since),
        until=_in_utc(until),
        unlabelled=unlabelled,
        abstained=abstained,
        limit=limit,
    )
    newest = _search(search)
    if as_csv:
        _write_csv(newest)
    else:
        output().table({"answers": newest}, columns=COLUMNS, rows=map(_answer_row, newest))


def quality(classifier: Classifier, by: By = "week", days: Days = 90, json: Json = False) -> None:
    """Show live quality over time, from right labels and from confidence.

    `right` counts the labels that agree with the answer. People may look at wrong answers first:
    only `sampled` stands for all answers, with its 95 % interval. `estimate` is the mean
    confidence, `refused` the share of answers with "none of these". `perennial performance` shows
    the same by label, region and version.
    """
    now = datetime.now(UTC)
    since = now - timedelta(days=days)
    with command_context() as context:
        from monitoring.performance.promises import check_promise, describe_promise
        from monitoring.performance.quality import quality_over_time

        context.params.classifier(classifier)
        rows = quality_over_time(
            context.engine, classifier=classifier, period=by, since=since, now=now
        )
        with context.engine.connect() as connection:
            promise = describe_promise(check_promise(connection, classifier))
    output().table(
        {"quality": rows},
        columns=(by, "version", "answers", "estimate", "labelled", "right", "sampled", "refused"),
        rows=map(_quality_row, rows),
    )
    if promise and not output().json:
        output().say(promise)


def _search(search: Search) -> list[FoundAnswer]:
    with command_context() as context:
        from monitoring.answers import search_answers

        context.params.classifier(search.classifier)
        with context.engine.connect() as connection:
            return search_answers(connection, search)


def _write_csv(newest: Sequence[FoundAnswer]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_csv_rows(newest))


def _csv_rows(newest: Sequence[FoundAnswer]) -> Iterator[tuple[object, ...]]:
    for row in newest:
        moment = row.occurred_at.isoformat()
        known = row.right or ""
        yield (row.request_id, known, "", row.label, row.probability, moment, row.phrase)


def _answer_row(row: FoundAnswer) -> tuple[object, ...]:
    return (
        f"{row.occurred_at:%Y-%m-%d %H:%M}",
        row.request_id,
        row.version,
        f"none of these ({row.label})" if row.abstained else row.label,
        "pinned" if row.pinned else f"{row.probability:.2f}",
        row.right or "",
        " ".join(row.phrase.split()),
    )


def _quality_row(row: Quality) -> tuple[object, ...]:
    return (
        f"{row.since:%Y-%m-%d}",
        row.version,
        f"{row.answers:,}",
        f"{row.estimated_accuracy:.3f}",
        f"{row.labelled:,}",
        f"{row.right / row.labelled:.3f}" if row.labelled else "",
        _sampled(row),
        f"{row.abstained / row.answers:.1%}" if row.abstained else "",
    )


def _sampled(row: Quality) -> str:
    if row.sampled_accuracy is None:
        return ""
    interval = f"{row.sampled_low:.3f} to {row.sampled_high:.3f}"
    return f"{row.sampled_accuracy:.3f} ({interval}) of {row.sampled:,}"


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None
