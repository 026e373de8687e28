"""Snapshots: the labelled rows of a moment, and the feedback received by then, under data/."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from core.contracts import Snapshot
from core.database import create_database, has_database
from core.errors import QueryRefused, SettingsError
from core.logs import timed
from core.params import ClassifierParams
from core.settings import Settings
from core.snapshots import previous_summary, record_snapshot
from flows.context import LoopContext, open_context
from monitoring.feedback import feedback_rows
from pipelines.dvc_repository import cache_of, prune_data, track_data
from pipelines.snapshots import summarise, write_snapshot
from pipelines.source.demo import build_demo_source
from pipelines.source.practice import EPOCH, Scale


def write_snapshots(
    context: LoopContext, folder: Path, classifiers: Sequence[str], *, as_of: datetime
) -> list[Snapshot]:
    """Write data/<dataset>/ for every dataset of the classifiers; return the snapshots."""
    _require_source(context)
    datasets = {
        name: blocks
        for name, blocks in context.params.datasets().items()
        if set(blocks) & set(classifiers)
    }
    return [
        _write_dataset(context, folder, name, blocks, as_of=as_of)
        for name, blocks in datasets.items()
    ]


def record_snapshots(
    context: LoopContext,
    folder: Path,
    snapshots: Sequence[Snapshot],
    classifiers: Sequence[str],
    *,
    git_tag: str,
) -> None:
    """Add the snapshots that trained to the `snapshot` table, where later runs find them."""
    blocks = [context.params.classifier(name) for name in classifiers]
    with context.engine.begin() as connection:
        for snapshot in snapshots:
            name = snapshot.dataset
            record_snapshot(
                connection,
                snapshot,
                git_tag=git_tag,
                summary=summarise(folder / name),
                trained={block.source.label for block in blocks if block.source.dataset == name},
            )


def take_snapshot(
    settings: Settings, classifiers: Sequence[str] = (), *, as_of: datetime, demo: bool = False
) -> list[Snapshot]:
    """Write and track data/ in the repository itself. A look: nothing is recorded.

    Of all classifiers when none is named; the data of the others stays. With `demo`, the demo
    source is rebuilt first, and the snapshot is taken at its epoch.
    """
    with open_context(settings) as context:
        if demo:
            build_demo(context, scale="default")
        data = settings.repository / "data"
        prune_data(data, list(context.params.datasets()))
        snapshots = write_snapshots(
            context,
            data,
            list(classifiers) or list(context.params.classifiers),
            as_of=EPOCH if demo else as_of,
        )
        track_data(settings.repository, cache=cache_of(settings.repository))
        return snapshots


def build_demo(context: LoopContext, *, scale: Scale) -> int:
    """Fill the database of the demo source; return the number of its rows.

    Raises `SettingsError` when a source of the user is set: that one is never written to.
    """
    if context.settings.source_url is not None:
        raise SettingsError(
            "the demo source",
            came="PERENNIAL_SOURCE_URL, which names another database",
            do="unset it for the demo",
        )
    create_database(context.urls.perennial, "demo")
    with timed("demo source", scale=scale):
        return build_demo_source(context.source_url, scale=scale, seed=context.params.seed)


def _require_source(context: LoopContext) -> None:
    if context.settings.source_url is None and not has_database(context.urls.perennial, "demo"):
        raise SettingsError(
            "a source database",
            came="PERENNIAL_SOURCE_URL is not set, and there is no demo source",
            do="set PERENNIAL_SOURCE_URL, or build the demo source with `make data`",
        )


def _write_dataset(
    context: LoopContext,
    folder: Path,
    dataset: str,
    blocks: dict[str, ClassifierParams],
    *,
    as_of: datetime,
) -> Snapshot:
    columns = {name: block.source.label for name, block in blocks.items()}
    source = next(iter(blocks.values())).source
    with context.engine.connect() as connection:
        previous = previous_summary(
            connection, dataset, before=as_of, columns=sorted(set(columns.values()))
        )
        feedback = feedback_rows(connection, label_columns=columns, received_by=as_of)
    try:
        return write_snapshot(
            folder / dataset,
            dataset=dataset,
            query_file=context.settings.repository / source.query,
            label_columns=sorted(set(columns.values())),
            parameters=source.parameters,
            source_url=context.source_url,
            as_of=as_of,
            feedback=feedback if feedback.num_rows else None,
            previous=previous,
        )
    except QueryRefused as error:
        raise QueryRefused(
            error.wanted, came=error.came, do=f"{error.do}; {_other_source(context, blocks)}"
        ) from None


def _other_source(context: LoopContext, blocks: dict[str, ClassifierParams]) -> str:
    """Return what to do when the query was meant for another source database."""
    if context.settings.source_url is None:
        return (
            "PERENNIAL_SOURCE_URL is not set, so the query ran on the demo source: set it if the "
            "query is for your database"
        )
    return (
        "if it is for another database, name only the classifiers of this one, or remove "
        f"{', '.join(blocks)} from params.yaml"
    )
