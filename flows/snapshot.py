"""Snapshots: the labelled rows of a moment, and the feedback received by then, under data/."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from core.contracts import Snapshot
from core.database import create_database, has_database
from core.errors import QueryRefused, SettingsError
from core.logs import timed
from core.params.schema import ClassifierParams, SourceParams
from core.settings import Settings
from core.snapshots import previous_summary, record_snapshot
from core.source_addresses import naming_source, source_variable
from flows.context import LoopContext, open_context
from monitoring.labels.feedback import feedback_rows
from monitoring.labels.unlabelled import read_unlabelled_phrases
from pipelines.dvc_repository import cache_of, prune_data, track_data
from pipelines.snapshots import summarise, write_snapshot
from pipelines.source.demo import build_demo_source
from pipelines.source.practice import EPOCH, Scale
from pipelines.unlabelled import Drawn, write_unlabelled


def write_snapshots(
    context: LoopContext, folder: Path, classifiers: Sequence[str], *, as_of: datetime
) -> list[Snapshot]:
    """Write data/<dataset>/ for every dataset of the classifiers; return the snapshots."""
    datasets = {
        name: blocks
        for name, blocks in context.params.datasets().items()
        if set(blocks) & set(classifiers)
    }
    _require_sources(context, [source_of(blocks) for blocks in datasets.values()])
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
            context.known_classifiers(classifiers),
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


def source_of(blocks: Mapping[str, ClassifierParams]) -> SourceParams:
    """Return the source of a data set, which its classifiers share."""
    return next(iter(blocks.values())).source


def _require_sources(context: LoopContext, sources: Sequence[SourceParams]) -> None:
    """Raise `SettingsError` for a source that is not set, before any of them is read."""
    for source in sources:
        context.address_of(source)
    shared = any(source.from_ is None for source in sources)
    is_set = context.settings.source_url is not None
    if shared and not is_set and not has_database(context.urls.perennial, "demo"):
        raise SettingsError(
            "a source database",
            came="neither PERENNIAL_SOURCE_URL nor a demo source",
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
    columns = _label_columns(blocks)
    regions = {name: block.line.value for name, block in blocks.items() if block.line}
    source = source_of(blocks)
    with context.engine.connect() as connection:
        previous = previous_summary(
            connection, dataset, before=as_of, columns=sorted(set(columns.values()))
        )
        feedback = feedback_rows(
            connection, label_columns=columns, received_by=as_of, regions=regions
        )
    with _naming_source(context, blocks):
        snapshot = write_snapshot(
            folder / dataset,
            dataset=dataset,
            query_file=context.settings.repository / source.query,
            label_columns=sorted(set(columns.values())),
            parameters=source.parameters,
            source_url=context.address_of(source),
            as_of=as_of,
            feedback=feedback if feedback.num_rows else None,
            previous=previous,
        )
    _write_unlabelled(context, folder / dataset, blocks, as_of=as_of)
    return snapshot


def _write_unlabelled(
    context: LoopContext, folder: Path, blocks: Mapping[str, ClassifierParams], *, as_of: datetime
) -> None:
    """Add the unlabelled phrases of the classifiers that train themselves; of none: no file."""
    drawn = {
        name: Drawn(
            read_unlabelled_phrases(
                context.engine, name, days=block.self_training.days, as_of=as_of
            ),
            label=block.source.label,
            most=block.self_training.max_phrases,
        )
        for name, block in blocks.items()
        if block.self_training is not None
    }
    write_unlabelled(folder, drawn)


def _label_columns(blocks: Mapping[str, ClassifierParams]) -> dict[str, str]:
    """Return classifier -> label column.

    Labels that came before a question was answered by lines keep the name of the question.
    """
    questions = {block.line.of: block.source.label for block in blocks.values() if block.line}
    return questions | {name: block.source.label for name, block in blocks.items()}


@contextmanager
def _naming_source(context: LoopContext, blocks: Mapping[str, ClassifierParams]) -> Iterator[None]:
    """Make an error's advice name the block's own source, or another that may be meant."""
    source = source_of(blocks)
    place = source_variable(source.name)
    if source.path is not None:
        place = f"source.from in params.yaml, or {source.path}"
    try:
        with naming_source(place):
            yield
    except QueryRefused as error:
        if source.from_ is not None:
            raise
        do = f"{error.do}; {_other_source(context, blocks)}"
        raise QueryRefused(error.wanted, came=error.came, do=do) from None


def _other_source(context: LoopContext, blocks: Mapping[str, ClassifierParams]) -> str:
    """Return what to do when the query was meant for another source."""
    if context.settings.source_url is None:
        return (
            "PERENNIAL_SOURCE_URL is not set, so the query ran on the demo source: set it if the "
            "query is for your database"
        )
    return (
        f"if it is for another database, give {', '.join(blocks)} a source of its own with "
        "`from` in params.yaml"
    )
