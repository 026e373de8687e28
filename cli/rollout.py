"""`perennial rollout`: show which version answers, and change it by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import command_context
from cli.help import WholeLines
from cli.output import Json, output

if TYPE_CHECKING:
    from core.contracts import Role
    from flows.context import LoopContext
    from flows.rollout import RolloutState

OFF = "off"

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Version = Annotated[
    str | None, typer.Argument(help="By default, the newest version that was not rejected.")
]
NamedVersion = Annotated[str | None, typer.Option("--version", hidden=True)]
"""The version as scripts of earlier releases name it."""
RejectedVersion = Annotated[str, typer.Argument(help="A version in the model store.")]
Force = Annotated[
    bool, typer.Option("--force", help="Allow a version that was rejected. Requires --why.")
]
ShadowVersion = Annotated[
    str, typer.Argument(help="A version in the model store, or `off` to end the shadow.")
]
CanaryVersion = Annotated[str, typer.Argument(help="A version in the model store.")]
Percent = Annotated[
    float,
    typer.Argument(min=0, max=100, help="Share of the requests in percent; 0 ends the canary."),
]
Why = Annotated[str, typer.Option(help="The reason, recorded with the decision and your name.")]
GivenWhy = Annotated[
    str | None, typer.Option(help="The reason, recorded with the decision and your name.")
]
NeededWhy = Annotated[
    str, typer.Option("--why", help="The reason, recorded with the decision and your name.")
]


def register(app: typer.Typer) -> None:
    """Add `rollout status`, `promote`, `reject`, `rollback`, `shadow` and `canary`."""
    rollout = typer.Typer(
        cls=WholeLines,
        help="Show which version answers, and change it by hand.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    rollout.command(epilog="Example: perennial rollout status block")(status)
    rollout.command(epilog="Example: perennial rollout promote block 3 --why 'checked by hand'")(
        promote
    )
    rollout.command(epilog="Example: perennial rollout reject block 3 --why 'wrong for Z00'")(
        reject
    )
    rollout.command(epilog="Example: perennial rollout rollback block")(rollback)
    rollout.command(
        epilog="Example: perennial rollout shadow block 4; perennial rollout shadow block off"
    )(shadow)
    rollout.command(epilog="Example: perennial rollout canary block 4 10")(canary)
    app.add_typer(rollout, name="rollout")


def status(classifier: Classifier, json: Json = False) -> None:
    """Show the current roles, every change (newest first) and the retained versions.

    Also repairs MLflow's aliases where they differ.
    """
    out = output()
    with _context(classifier) as context:
        from flows.rollout import rollout_state

        state = rollout_state(context, classifier)
    rows = [
        (row.model.version, row.role, row.share, f"{row.since:%Y-%m-%d %H:%M}", row.why)
        for row in state.deployments
    ]
    columns = ("version", "role", "share", "since", "why")
    out.table(asdict(state), columns=columns, rows=rows)
    if not out.json:
        for line in _state_lines(state):
            out.say(line)


def promote(
    classifier: Classifier,
    version: Version = None,
    named_version: NamedVersion = None,
    why: GivenWhy = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a retained version the champion. The running service follows within seconds.

    The version may wait for a person (`hold`). A rejected version needs --force and --why.
    """
    _require_reason(force, why)
    out = output()
    with _context(classifier) as context:
        from flows.rollout import promote_by_hand

        model = promote_by_hand(
            context,
            classifier,
            version=version or named_version,
            why=why or "promoted by hand",
            force=force,
        )
    out.result(
        {"classifier": classifier, "champion": model.version},
        f"{classifier}: version {model.version} answers",
    )


def reject(
    classifier: Classifier, version: RejectedVersion, why: NeededWhy, json: Json = False
) -> None:
    """Record that a version must not answer, such as one that waits for a person (`hold`).

    Ends its canary or shadow. The champion cannot be rejected: roll it back first.
    """
    out = output()
    with _context(classifier) as context:
        from flows.rollout import reject_by_hand

        model = reject_by_hand(context, classifier, version, why=why)
    out.result(
        {"classifier": classifier, "rejected": model.version},
        f"{classifier}: version {model.version} is rejected",
    )


def rollback(classifier: Classifier, why: Why = "rolled back by hand", json: Json = False) -> None:
    """Return to the previous champion.

    A second call returns to the champion before that one. To return to a later version, use
    `perennial rollout promote CLASSIFIER VERSION`.
    """
    out = output()
    with _context(classifier) as context:
        from flows.rollout import roll_back_by_hand

        model = roll_back_by_hand(context, classifier, why=why)
    out.result(
        {"classifier": classifier, "champion": model.version},
        f"{classifier}: version {model.version} answers again",
    )


def shadow(
    classifier: Classifier, version: ShadowVersion, why: Why = "by hand", json: Json = False
) -> None:
    """Let a version score every request without answering; `off` ends it.

    Clients do not see its answers. They are logged in the role shadow.
    """
    out = output()
    shadow_version = None if version == OFF else version
    with _context(classifier) as context:
        if shadow_version is None:
            text = _end(context, classifier, "shadow", why)
        else:
            from flows.rollout import assign_role

            assign_role(context, classifier, version, role="shadow", share=1.0, why=why)
            text = f"{classifier}: version {version} is the shadow"
    out.result({"classifier": classifier, "shadow": shadow_version}, text)


def canary(
    classifier: Classifier,
    version: CanaryVersion,
    percent: Percent,
    why: GivenWhy = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Let a version answer a share of the requests; 0 ends it.

    The same keys or phrases always go to the canary. A share of 100 does not promote the version:
    use `perennial rollout promote`. A rejected version needs --force and --why.
    """
    _require_reason(force, why)
    out = output()
    share = percent / 100
    reason = why or "by hand"
    with _context(classifier) as context:
        if percent == 0:
            text = _end(context, classifier, "canary", reason)
        else:
            from flows.rollout import assign_role

            assign_role(
                context, classifier, version, role="canary", share=share, why=reason, force=force
            )
            text = f"{classifier}: version {version} is the canary{_share(share)}"
    canary_version = version if percent else None
    out.result({"classifier": classifier, "canary": canary_version, "share": share}, text)


def _require_reason(force: bool, why: str | None) -> None:
    if force and not why:
        raise typer.BadParameter("--force requires a reason", param_hint="--why")


def _end(context: LoopContext, classifier: str, role: Role, why: str) -> str:
    from flows.rollout import withdraw_role

    ended = withdraw_role(context, classifier, role=role, why=why)
    if ended is None:
        return f"{classifier}: there is no {role}"
    return f"{classifier}: version {ended.version} is no longer the {role}"


def _share(share: float) -> str:
    return "" if share == 1 else f" of {100 * share:g} % of the requests"


def _state_lines(state: RolloutState) -> Iterator[str]:
    roles = [
        f"{name} version {entry.model.version}{_share(entry.share)}"
        for name, entry in state.roles.items()
    ]
    yield f"now: {', '.join(roles) or 'no version answers yet'}"
    yield f"retained versions: {', '.join(state.retained) or 'none'}"
    if state.aliases_repaired:
        yield "MLflow's aliases were repaired"


@contextmanager
def _context(classifier: str) -> Iterator[LoopContext]:
    with command_context() as context:
        context.params.classifier(classifier)
        yield context
