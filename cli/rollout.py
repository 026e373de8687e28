"""rollout status, promote, rollback, shadow, canary: which version answers, changed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, output

if TYPE_CHECKING:
    from core.contracts import ModelVersion, Role
    from flows.context import LoopContext

OFF = "off"

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Version = Annotated[str | None, typer.Option(help="A retained version; the newest by default.")]
Beside = Annotated[str, typer.Argument(help="A retained version.")]
Percent = Annotated[
    float, typer.Argument(min=0, max=100, help="Share of the requests; 0 ends the canary.")
]
Why = Annotated[str, typer.Option(help="Recorded with the decision.")]


def register(app: typer.Typer) -> None:
    """Add `rollout status`, `promote`, `rollback`, `shadow` and `canary`."""
    rollout = typer.Typer(
        help="Which version answers.", no_args_is_help=True, rich_markup_mode=None
    )
    rollout.command(epilog="Example: perennial rollout status block")(status)
    rollout.command(
        epilog="Example: perennial rollout promote block --version 3 --why 'checked by hand'"
    )(promote)
    rollout.command(epilog="Example: perennial rollout rollback block")(rollback)
    rollout.command(
        epilog="Example: perennial rollout shadow block 4; perennial rollout shadow block off"
    )(shadow)
    rollout.command(epilog="Example: perennial rollout canary block 4 10")(canary)
    app.add_typer(rollout, name="rollout")


def status(classifier: Classifier, json: Json = False) -> None:
    """Who plays which role now, every change newest first, and the retained versions; repairs MLflow's aliases."""
    from core.deployments import current_rollouts, history
    from pipelines.promotion import repair_aliases

    out = output()
    with _loop(classifier) as loop:
        with loop.engine.connect() as connection:
            entries = list(reversed(history(connection, classifier)))
            now = current_rollouts(connection).get(classifier)
        repaired = repair_aliases(loop.engine, loop.registry, classifier)
        kept = _retained(loop, classifier)
    rows = [
        (row.model.version, row.role, row.share, f"{row.since:%Y-%m-%d %H:%M}", row.why)
        for row in entries
    ]
    roles = {
        name: entry
        for name in ("champion", "canary", "shadow")
        if (entry := getattr(now, name, None)) is not None
    }
    told = {
        "classifier": classifier,
        "roles": roles,
        "deployments": entries,
        "retained": kept,
        "aliases_repaired": repaired,
    }
    out.table(told, columns=("version", "role", "share", "since", "why"), rows=rows)
    if not out.json:
        playing = [
            f"{name} version {entry.model.version}" + _share(entry.share)
            for name, entry in roles.items()
        ]
        out.say(f"now: {', '.join(playing) or 'no version answers yet'}")
        out.say(
            f"retained versions: {', '.join(kept) or 'none'}"
            + ("; MLflow's aliases were repaired" if repaired else "")
        )


def promote(
    classifier: Classifier,
    version: Version = None,
    why: Why = "promoted by hand",
    json: Json = False,
) -> None:
    """Make a retained version the champion; the running service follows within seconds."""
    from pipelines.model_store import stored_version
    from pipelines.promotion import promote as make_champion

    out = output()
    with _loop(classifier) as loop:
        chosen = version or (_retained(loop, classifier) or [""])[-1]
        model = stored_version(loop.settings.models, classifier=classifier, version=chosen)
        before, now = loop.champions().get(classifier), datetime.now(UTC)
        make_champion(loop.engine, loop.registry, model, why=why, now=now)
        _follow_embedder(loop, model, before=before, now=now)
    out.result(
        {"classifier": classifier, "champion": model.version},
        f"{classifier}: version {model.version} answers",
    )


def rollback(classifier: Classifier, why: Why = "rolled back by hand", json: Json = False) -> None:
    """Return to the champion before the present one; a second time, to the one before that. `promote --version` returns to a later one."""
    from pipelines.promotion import roll_back

    out = output()
    with _loop(classifier) as loop:
        before, now = loop.champions().get(classifier), datetime.now(UTC)
        model = roll_back(loop.engine, loop.registry, classifier, why=why, now=now)
        _follow_embedder(loop, model, before=before, now=now)
    out.result(
        {"classifier": classifier, "champion": model.version},
        f"{classifier}: version {model.version} answers again",
    )


def shadow(
    classifier: Classifier, version: Beside, why: Why = "by hand", json: Json = False
) -> None:
    """Let a version score what others answer, unseen by clients; its rows are logged in the role shadow. `off` ends it."""
    out = output()
    with _loop(classifier) as loop:
        if version == OFF:
            said = _end(loop, classifier, "shadow", why)
        else:
            said = _play(loop, classifier, version, role="shadow", share=1.0, why=why)
    out.result({"classifier": classifier, "shadow": None if version == OFF else version}, said)


def canary(
    classifier: Classifier,
    version: Beside,
    percent: Percent,
    why: Why = "by hand",
    json: Json = False,
) -> None:
    """Let a version answer a share of the requests, always the same keys or phrases; 0 ends it. 100 does not promote: `promote` does."""
    out = output()
    with _loop(classifier) as loop:
        if percent == 0:
            said = _end(loop, classifier, "canary", why)
        else:
            said = _play(loop, classifier, version, role="canary", share=percent / 100, why=why)
    out.result(
        {"classifier": classifier, "canary": version if percent else None, "share": percent / 100},
        said,
    )


def _play(
    loop: LoopContext, classifier: str, version: str, *, role: Role, share: float, why: str
) -> str:
    from pipelines.model_store import stored_version
    from pipelines.promotion import play

    model = stored_version(loop.settings.models, classifier=classifier, version=version)
    play(loop.engine, model, role=role, share=share, why=why, now=datetime.now(UTC))
    return f"{classifier}: version {version} is the {role}{_share(share)}"


def _end(loop: LoopContext, classifier: str, role: Role, why: str) -> str:
    from pipelines.promotion import end_role

    ended = end_role(loop.engine, classifier, role=role, why=why, now=datetime.now(UTC))
    return (
        f"{classifier}: version {ended.version} is no longer the {role}"
        if ended
        else f"{classifier}: there is no {role}"
    )


def _share(share: float) -> str:
    return "" if share == 1 else f" of {100 * share:g} % of the requests"


def _follow_embedder(
    loop: LoopContext, model: ModelVersion, *, before: ModelVersion | None, now: datetime
) -> None:
    """One service holds one embedder: a champion of another needs another bento, without the classifiers that rest on the old one."""
    from flows.packaging import package_champions
    from machine.processes import restart_service

    if before is not None and before.embedder_id != model.embedder_id:
        version = f"{now:%Y%m%dt%H%M%S}-{model.classifier}"
        package_champions(loop, model.embedder_id, version=version.replace("_", "-"))
        restart_service(loop.settings)


@contextmanager
def _loop(classifier: str) -> Iterator[LoopContext]:
    from core.settings import load_settings
    from flows.context import open_context
    from machine.environment import open_flow_database

    settings = load_settings()
    with open_flow_database(settings), open_context(settings) as loop:
        loop.params.classifier(classifier)
        yield loop


def _retained(loop: LoopContext, classifier: str) -> list[str]:
    """Versions in the model store, oldest first."""
    return sorted(
        (folder.name for folder in (loop.settings.models / classifier).glob("[0-9]*")), key=int
    )
