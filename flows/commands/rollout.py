"""rollout status, promote, rollback: which version answers, changed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.output import Json, output

if TYPE_CHECKING:
    from flows.loop import Loop

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Version = Annotated[str | None, typer.Option(help="A retained version; the newest by default.")]
Why = Annotated[str, typer.Option(help="Recorded with the decision.")]


def register(app: typer.Typer) -> None:
    """Add `rollout status`, `promote` and `rollback`."""
    rollout = typer.Typer(help="Which version answers.", no_args_is_help=True, rich_markup_mode=None)
    rollout.command(epilog="Example: perennial rollout status block")(status)
    rollout.command(epilog="Example: perennial rollout promote block --version 3 --why 'checked by hand'")(promote)
    rollout.command(epilog="Example: perennial rollout rollback block")(rollback)
    app.add_typer(rollout, name="rollout")


def status(classifier: Classifier, json: Json = False) -> None:
    """Every version that has answered, newest first, and the retained ones; repairs MLflow's aliases."""
    from core.deployments import history
    from pipelines.promotion import repair_aliases

    out = output()
    with _loop(classifier) as loop:
        with loop.engine.connect() as connection:
            entries = list(reversed(history(connection, classifier)))
        repaired = repair_aliases(loop.engine, loop.registry, classifier)
        kept = _retained(loop, classifier)
    rows = [(row.model.version, row.role, row.share, f"{row.since:%Y-%m-%d %H:%M}", row.why) for row in entries]
    told = {"classifier": classifier, "deployments": entries, "retained": kept, "aliases_repaired": repaired}
    out.table(told, columns=("version", "role", "share", "since", "why"), rows=rows)
    if not out.json:
        out.say(f"retained versions: {', '.join(kept) or 'none'}" + ("; MLflow's aliases were repaired" if repaired else ""))


def promote(classifier: Classifier, version: Version = None, why: Why = "promoted by hand", json: Json = False) -> None:
    """Make a retained version the champion; the running service follows within seconds."""
    from pipelines.promotion import promote as make_champion
    from pipelines.registry import stored_version

    out = output()
    with _loop(classifier) as loop:
        chosen = version or (_retained(loop, classifier) or [""])[-1]
        model = stored_version(loop.settings.models, classifier=classifier, version=chosen)
        before, now = loop.champions().get(classifier), datetime.now(UTC)
        make_champion(loop.engine, loop.registry, model, why=why, now=now)
        if before is not None and before.embedder_id != model.embedder_id:
            _change_embedder(loop, model.embedder_id, version=f"{now:%Y%m%dt%H%M%S}-{classifier}")
    out.result({"classifier": classifier, "champion": model.version}, f"{classifier}: version {model.version} answers")


def rollback(classifier: Classifier, why: Why = "rolled back by hand", json: Json = False) -> None:
    """Return to the champion before the present one."""
    from pipelines.promotion import roll_back

    out = output()
    with _loop(classifier) as loop:
        model = roll_back(loop.engine, loop.registry, classifier, why=why, now=datetime.now(UTC))
    out.result({"classifier": classifier, "champion": model.version}, f"{classifier}: version {model.version} answers again")


def _change_embedder(loop: Loop, embedder_id: str, *, version: str) -> None:
    """One service holds one embedder: it needs another bento, without the classifiers that rest on the old embedder."""
    from flows.machine.processes import restart_service
    from flows.steps import package_champions

    package_champions(loop, embedder_id, version=version.replace("_", "-"))
    restart_service(loop.settings)


@contextmanager
def _loop(classifier: str) -> Iterator[Loop]:
    from core.settings import load_settings
    from flows.environment import open_flow_database
    from flows.loop import open_loop

    settings = load_settings()
    with open_flow_database(settings), open_loop(settings) as loop:
        loop.params.classifier(classifier)
        yield loop


def _retained(loop: Loop, classifier: str) -> list[str]:
    """Versions in the model store, oldest first."""
    return sorted((folder.name for folder in (loop.settings.models / classifier).glob("[0-9]*")), key=int)
