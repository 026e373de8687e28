"""Refills the review queue of a classifier, and withdraws what no longer matters."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.arrivals import newest_arrival
from core.locks import AdvisoryLock, hold_until_commit
from core.logs import get_logger
from core.params.review import ReviewParams
from core.tables.loop import inference
from core.tables.review import review_answer, review_item
from monitoring.drift.faults import is_faulty
from monitoring.review.draws import (
    WEEK,
    Draw,
    draw_answers,
    last_chance,
    last_draw,
    record_draw,
)
from monitoring.review.items import SUSPECTS, ReviewItem, add_items
from monitoring.review.knowing import LABELS_SINCE, Versions, gather
from monitoring.review.recent_log import ROUTED, RecentLog, read_recent
from monitoring.review.shares import RANDOM, REQUESTED, Week, hide_random, pick
from monitoring.review.strategies import STRATEGIES, ReviewCandidate, StrategyInputs, requested
from monitoring.review.withdrawing import withdraw_faulty, withdraw_settled


@dataclass(frozen=True)
class Refilled:
    """How many items were added and withdrawn, and how many each strategy added."""

    added: int = 0
    withdrawn: int = 0
    by_strategy: Mapping[str, int] = field(default_factory=dict)


def refill_queue(
    connection: Connection,
    classifier: str,
    *,
    review: ReviewParams,
    now: datetime,
    seed: int,
    open_versions: Callable[[], Versions] = Versions,
    pause: timedelta = timedelta(0),
) -> Refilled:
    """Add what people should look at next, within the week's labels. The caller commits.

    The transaction must not have inserted answers: the refill waits for such inserts to end.

    Equal log, queue, moment and seed give equal items. Two refills at once wait for each other.
    `open_versions` is called when there is room in the week. Without versions no phrase is
    embedded, which saves seconds; their share of the labels goes to the other strategies.
    Nothing is done within `pause` of the last refill.
    """
    last = newest_arrival(connection.engine)
    hold_until_commit(connection, AdvisoryLock.REVIEW, classifier)
    newest = last_draw(connection, classifier)
    if newest is not None and now - newest[1] < pause:
        return Refilled()
    recent = read_recent(connection, classifier, since=now - WEEK, last=last)
    if recent is None or recent.rows.empty:
        return Refilled()
    done = _refill(connection, classifier, recent, review, open_versions, now=now, seed=seed)
    get_logger().info(
        "review",
        classifier=classifier,
        added=done.added,
        withdrawn=done.withdrawn,
        **done.by_strategy,
    )
    return done


def _refill(
    connection: Connection,
    classifier: str,
    recent: RecentLog,
    review: ReviewParams,
    open_versions: Callable[[], Versions],
    *,
    now: datetime,
    seed: int,
) -> Refilled:
    since = now - WEEK
    draw = _draw(connection, classifier, recent, review, now=now, seed=seed)
    week = _week(connection, classifier, review, since=since)
    versions = open_versions() if week.left(len(draw.drawn)) else Versions()
    inputs = gather(
        connection, classifier, recent, draw.drawn, versions=versions, since=since, now=now
    )
    withdrawn = withdraw_faulty(connection, classifier, now=now)
    withdrawn += withdraw_settled(connection, classifier, inputs, scale=recent.scale, now=now)
    chosen = choose(
        inputs,
        week,
        taken=_taken(connection, classifier, now),
        waiting=_waiting_values(connection, classifier),
        seed=seed,
    )
    items = as_items(connection, classifier, chosen, inputs)
    added = add_items(connection, items, now=now, double_share=review.twice)
    return Refilled(added, withdrawn, dict(Counter(item.strategy for item in chosen)))


def choose(
    inputs: StrategyInputs, week: Week, *, taken: set[str], waiting: Sequence[float] = (), seed: int
) -> list[ReviewCandidate]:
    """Return what to add, with the values that order the queue: pure.

    `waiting` are the values of the items that are open and not random.
    """
    proposed = {
        name: STRATEGIES[name](inputs)
        for name, share in week.shares.items()
        if share or name == RANDOM
    }
    chosen = pick({REQUESTED: requested(inputs), **proposed}, week, taken=taken)
    top = max((candidate.value for candidate in chosen), default=0.0)
    raised = [
        replace(candidate, value=candidate.value + top)
        if candidate.strategy == REQUESTED
        else candidate
        for candidate in chosen
    ]
    return hide_random(raised, waiting=waiting, seed=seed)


def _draw(
    connection: Connection,
    classifier: str,
    recent: RecentLog,
    review: ReviewParams,
    *,
    now: datetime,
    seed: int,
) -> Draw:
    """Draw from what arrived since the last draw, at the pace of the week's random share."""
    newest = last_draw(connection, classifier)
    after = newest[0] if newest else recent.first - 1
    begun = last_chance(connection, classifier) or now - WEEK
    passed = min(max((now - begun) / WEEK, 0.0), 1.0)
    random = np.random.default_rng([seed, zlib.crc32(classifier.encode()), after])
    draw = draw_answers(
        connection,
        classifier,
        after=max(after, recent.first - 1),
        last=recent.last,
        expected=review.labels_per_week * review.shares.random * passed,
        density=recent.density,
        random=random,
    )
    record_draw(connection, classifier, draw, now=now)
    return draw


def _week(
    connection: Connection, classifier: str, review: ReviewParams, *, since: datetime
) -> Week:
    """Count the items of the last seven days, and those that nobody has looked at, by strategy.

    An older item that was skipped, or waits for a second person, does not keep others out.
    """
    table = review_item.c
    looked_at = sa.exists().where(
        review_answer.c.item == table.id, review_answer.c.undone_at.is_(None)
    )
    query = (
        sa.select(table.strategy, sa.func.count())
        .where(
            table.classifier == classifier,
            sa.or_(
                sa.and_(table.state == "open", ~looked_at),
                sa.and_(table.state != "withdrawn", table.created_at > since),
            ),
        )
        .group_by(table.strategy)
    )
    used = {strategy: count for strategy, count in connection.execute(query)}
    return Week(review.labels_per_week, review.shares.by_strategy(), used)


def _taken(connection: Connection, classifier: str, now: datetime) -> set[str]:
    """Return the phrases that are in the queue, or were decided lately."""
    table = review_item.c
    query = sa.select(table.cleaned).where(
        table.classifier == classifier,
        sa.or_(
            table.state == "open",
            sa.and_(table.state == "decided", table.decided_at > now - LABELS_SINCE),
        ),
    )
    return set(connection.scalars(query))


def _waiting_values(connection: Connection, classifier: str) -> list[float]:
    """Return the values of the open items that are not random."""
    table = review_item.c
    query = sa.select(table.score).where(
        table.classifier == classifier, table.state == "open", table.probability.is_(None)
    )
    return list(connection.scalars(query.order_by(table.id)))


def as_items(
    connection: Connection,
    classifier: str,
    chosen: Sequence[ReviewCandidate],
    inputs: StrategyInputs,
) -> list[ReviewItem]:
    """Return the items of candidates, with what the log says of their answers."""
    answers = _answers(connection, classifier, [candidate.request_id for candidate in chosen])
    asks = inputs.phrases.set_index("cleaned")["asks"]
    return [
        *_suspected_items(classifier, chosen, inputs, asks),
        *(
            ReviewItem.of_answer(
                row,
                strategy=candidate.strategy,
                score=candidate.value,
                probability=candidate.probability,
                frequency=_frequency(asks, row.cleaned),
            )
            for candidate in chosen
            if (row := answers.get(candidate.request_id)) is not None
        ),
    ]


def _suspected_items(
    classifier: str, chosen: Sequence[ReviewCandidate], inputs: StrategyInputs, asks: pd.Series
) -> list[ReviewItem]:
    return [
        ReviewItem.of_suspect(
            inputs.suspects[candidate.request_id],
            classifier=classifier,
            score=candidate.value,
            frequency=_frequency(asks, candidate.cleaned),
        )
        for candidate in chosen
        if candidate.strategy == SUSPECTS
    ]


def _frequency(asks: pd.Series, cleaned: str) -> int:
    return max(round(float(asks.get(cleaned, 1.0))), 1)


def _answers(
    connection: Connection, classifier: str, requests: Sequence[str]
) -> dict[str, sa.Row[tuple[object, ...]]]:
    query = sa.select(inference).where(
        inference.c.request_id == sa.any_(sa.literal(list(requests), sa.ARRAY(sa.Text))),
        inference.c.classifier == classifier,
        inference.c.role.in_(ROUTED),
        ~is_faulty(inference),
    )
    return {row.request_id: row for row in connection.execute(query)}
