"""`perennial queue`: what the labels of each strategy were worth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import command_context
from cli.output import Json, output

if TYPE_CHECKING:
    from monitoring.review.refused import Proposal
    from monitoring.review.worth import StrategyWorth

COLUMNS = (
    "strategy",
    "share",
    "open",
    "labels",
    "errors",
    "fixed",
    "points",
    "p",
)

PROPOSED = 3

Classifier = Annotated[str, typer.Argument(help="A classifier of params.yaml.")]
Weeks = Annotated[int, typer.Option(min=1, max=5000, help="How far back.")]


def register(app: typer.Typer) -> None:
    """Add `queue`."""
    app.command(epilog="Example: perennial queue block --weeks 12")(queue)


def queue(classifier: Classifier, weeks: Weeks = 8, json: Json = False) -> None:
    """Show what the labels of each strategy of the review queue were worth.

    `errors` counts wrong answers, `fixed` the answers per week that a label corrected on average,
    `points` the points of accuracy that 100 labels gained with the next version. `p` is how likely
    labels of random answers would fix so few. Refused phrases in clusters, which may be new labels,
    follow below.
    """
    with command_context() as context:
        from monitoring.review.worth import queue_report

        shares = context.params.classifier(classifier).review.shares.by_strategy()
        from monitoring.review.refused import champion_proposals

        with context.engine.connect() as connection:
            home = context.settings.home
            proposals = champion_proposals(connection, classifier, home=home)
            rows = queue_report(
                connection,
                classifier,
                shares=shares,
                now=datetime.now(UTC),
                seed=context.params.seed,
                since=timedelta(weeks=weeks),
            )
    facts = {"strategies": rows, "refused": proposals}
    output().table(facts, columns=COLUMNS, rows=map(_row, rows))
    for proposal in proposals[:PROPOSED]:
        output().say(_proposal(proposal))
    for row in rows:
        if row.proposal:
            output().say(f"{row.strategy}: {row.proposal}")


def _row(row: StrategyWorth) -> tuple[object, ...]:
    return (
        row.strategy.replace("_", " "),
        f"{row.share:.0%}",
        f"{row.open:,}",
        f"{row.labels:,}",
        f"{row.errors:,}",
        "" if row.fixed is None else f"{row.fixed:.2f}",
        "" if row.points is None else f"{row.points:.2f}",
        "" if row.p_value is None else f"{row.p_value:.3f}",
    )


def _proposal(proposal: Proposal) -> str:
    first = proposal.phrases[0].cleaned
    like_it = f" and {len(proposal.phrases) - 1} like it" if len(proposal.phrases) > 1 else ""
    page = "name a label on the page None of these of the console"
    return f"none of these: {first!r}{like_it}, {proposal.answers:,} answers: {page}"
