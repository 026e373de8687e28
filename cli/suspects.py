"""`perennial suspects` and `perennial labels`: what the newest retraining found about labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import command_context
from cli.output import Json, output

if TYPE_CHECKING:
    from core.label_reports import LabelReport, Suspect

COLUMNS = ("phrase", "label", "probably", "chance", "learnt", "its labels", "nearest", "row")
MERGE_COLUMNS = ("merge", "phrases", "confused", "saves", "loses", "pays")
SPLIT_COLUMNS = ("split", "phrases", "halves", "wrong", "saves", "p", "pays", "like")

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Top = Annotated[int, typer.Option(min=1, max=500, help="The most suspects to list.")]


def register(app: typer.Typer) -> None:
    """Add `suspects` and `labels`."""
    app.command(epilog="Example: perennial suspects block --top 50")(suspects)
    app.command(epilog="Example: perennial labels block")(labels)


def suspects(classifier: Classifier, top: Top = 20, json: Json = False) -> None:
    """List labels of the source that are probably wrong, by the answers that they spoil.

    `chance` is the probability of the other label for one row of the phrase, by a head that has not
    seen the phrase and by its other rows. `learnt` says whether heads learn the given label.
    `its labels` counts the rows of the phrase. `nearest` shows the labels of the nearest phrases.
    `row` is the id of the first row in the source. Suspects that people have decided are left out.
    """
    report = _read(classifier)
    shown = report.suspects[:top]
    value = {**asdict(replace(report, suspects=shown, labels={}))}
    del value["labels"]
    output().table(value, columns=COLUMNS, rows=[_row(suspect) for suspect in shown])
    if not output().json:
        output().say(
            f"version {report.version} of {report.made_at:%Y-%m-%d}: {report.found:,} suspects "
            f"among {report.judged:,} pairs of phrase and label"
        )
        _say_not_judged(report)


def labels(classifier: Classifier, json: Json = False) -> None:
    """Show which labels it would pay to merge or split, by the `costs` of the classifier.

    `saves` and `loses` are costs per thousand new phrases. A merge pays when the confusions of both
    labels cost more than telling them apart saves. A split pays when a head that learns both
    halves makes fewer costly mistakes, beyond chance.
    """
    report = _read(classifier)
    out = output()
    if out.json:
        out.line({"version": report.version, "made_at": report.made_at, **report.labels})
        return

    merges = report.labels["merges"]
    splits = report.labels["splits"]
    out.table({}, columns=MERGE_COLUMNS, rows=[_merge(merge) for merge in merges])
    out.result({}, "")
    out.table({}, columns=SPLIT_COLUMNS, rows=[_split(split) for split in splits])

    paying = sum(change["pays"] for change in [*merges, *splits])
    out.say(f"version {report.version}: {paying} of {len(merges) + len(splits)} pay")
    _say_not_judged(report)


def _read(classifier: str) -> LabelReport:
    """Return the newest report, without the suspects that people have decided since."""
    from core.errors import UnknownVersion

    with command_context() as context:
        from core.label_reports import open_suspects, read_label_report

        context.params.classifier(classifier)
        with context.engine.connect() as connection:
            report = read_label_report(connection, classifier)
            waiting = open_suspects(connection, classifier)
    if report is None:
        raise UnknownVersion(
            f"a retraining of {classifier} that judged its labels",
            came="none yet",
            do=f"run `perennial retrain {classifier}`",
        )
    return replace(report, suspects=waiting)


def _say_not_judged(report: LabelReport) -> None:
    if report.not_judged:
        output().say(f"Labels were not judged by the newest retraining: {report.not_judged}")


def _row(suspect: Suspect) -> tuple[object, ...]:
    others = sorted(suspect.labels.items(), key=lambda label: (-label[1], label[0]))
    listed = ", ".join(f"{label} {rows:,}" for label, rows in others[:3])
    more = f", {len(others) - 3} more" if len(others) > 3 else ""
    nearest = dict.fromkeys(str(neighbour["label"]) for neighbour in suspect.neighbours)
    return (
        suspect.cleaned,
        suspect.given,
        suspect.proposed,
        f"{suspect.proposed_share:.1%}",
        "yes" if suspect.teaches else "no",
        listed + more,
        ", ".join(nearest),
        suspect.rows[0].id,
    )


def _merge(merge: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        " + ".join(merge["labels"]),
        f"{merge['phrases']:,}",
        f"{merge['confused']:,}",
        f"{merge['saved']:.2f}",
        f"{merge['lost']:.2f}",
        "yes" if merge["pays"] else "no",
    )


def _split(split: Mapping[str, Any]) -> tuple[object, ...]:
    larger, smaller = split["wrong"]
    return (
        split["label"],
        f"{split['phrases']:,}",
        f"{1 - split['share']:.0%} and {split['share']:.0%}",
        f"{larger:.0%} and {smaller:.0%}",
        f"{split['saved']:.2f}",
        f"{split['p_value']:.3f}",
        "yes" if split["pays"] else "no",
        " / ".join(examples[0] for examples in split["examples"]),
    )
