"""Packages the champions: one bento per group of classifiers, and the service that runs it."""

from __future__ import annotations

from datetime import UTC, datetime

from bentos.packaging.current_code import holds_current_code, packed_embedder
from bentos.packaging.package import build_bento
from bentos.packaging.pruning import prune_bentos
from core.deployments import current_champions
from core.errors import PerennialError, ProcessFailed
from core.logs import first_line, get_logger
from core.pins import read_pins
from core.settings import Settings
from flows.context import LoopContext
from flows.outages import name_outage
from flows.run import Run, embedder_id
from machine.processes import ensure_service
from machine.programs import newest_bento
from pipelines.workspace import Workspace


def needs_packing(settings: Settings) -> bool:
    """Return True without a bento, and when the newest one holds the code of before an upgrade."""
    newest = newest_bento(settings)
    return newest is None or not holds_current_code(newest)


def package(context: LoopContext, workspace: Workspace, run: Run) -> str:
    """Build bentos of the champions; start the service if it was waiting for the first one.

    Raises the error of a build that failed, and says which promoted version answers nevertheless.
    """
    try:
        tag = package_champions(context, _embedder(context, workspace), version=run.id)
    except (PerennialError, OSError) as error:
        raise _after_promotion(context, run, error) from error
    ensure_service(context.settings)
    return tag


def _embedder(context: LoopContext, workspace: Workspace) -> str:
    """Return the run's embedder; that of the newest bento when no champion uses the run's."""
    own = embedder_id(workspace)
    newest = newest_bento(context.settings)
    used = {champion.embedder_id for champion in context.champions().values()}
    return own if newest is None or own in used else packed_embedder(newest)


def _after_promotion(
    context: LoopContext, run: Run, error: PerennialError | OSError
) -> PerennialError:
    named = error if isinstance(error, PerennialError) else name_outage(error)
    with context.engine.connect() as connection:
        promoted = [
            f"version {row.model.version} of {name}"
            for name, row in current_champions(connection).items()
            if row.since == run.now
        ]
    state = f"; {', '.join(promoted)} answers already" if promoted else ""
    kind = type(named) if named else ProcessFailed
    return kind(
        "a bento of the champions",
        came=f"{named.came if named else first_line(error)}{state}",
        do="correct that, then retrain; until then a service starts from the previous bento "
        "and loads new versions from the model store",
    )


def package_champions(context: LoopContext, embedder: str, *, version: str) -> str:
    """Build one bento per group: the embedder and the heads of the champions that use it.

    Returns the tag of the first group. Its bento is built last: once it exists, those of the other
    groups exist too. Bentos that nobody will serve again are removed.
    """
    home = context.settings.home
    champions = {
        name: model for name, model in context.champions().items() if model.embedder_id == embedder
    }
    with context.engine.connect() as connection:
        pins = read_pins(connection, now=datetime.now(UTC))
    for group in reversed(context.settings.groups):
        tag = build_bento(
            {name: model for name, model in champions.items() if group.serves(name)},
            embedder=context.settings.embedders / embedder,
            staging=home / "staging",
            bento_store=home / "bentoml",
            version=version.lower(),
            group=group.number,
            pins=pins,
        )
        get_logger().info("bento", tag=tag)
    get_logger().info("bentos", removed=prune_bentos(home / "bentoml"))
    return tag
