"""Withdraws open items that no longer matter."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from core.tables.loop import inference
from core.tables.review import IS_OPEN, review_answer, review_item, review_lease
from monitoring.drift.faults import has_faults, is_faulty
from monitoring.review.acts import close_item
from monitoring.review.strategies import StrategyInputs

OPEN_FOR = timedelta(days=28)
FADED = 0.25
"""Share of its answers in doubt to which a phrase has fallen when a label is not worth it."""
SEEN_FOR_SURE = 10
"""A phrase of which so many rows should have been read is missing because nobody asks it."""
BY_DOUBT = ("low_confidence", "novel", "unseen")
ITEM_COLUMNS = ("id", "cleaned", "strategy", "confidence", "frequency", "created_at")


def withdraw_settled(
    connection: Connection, classifier: str, inputs: StrategyInputs, *, scale: float, now: datetime
) -> int:
    """Withdraw items, and return their number. What somebody has open or answered stays.

    An item is withdrawn after OPEN_FOR, unless somebody has said its label: that one then counts,
    as the second person did not come. One that is not random goes earlier: its phrase was drawn
    at random, people have said its label elsewhere, or few of its answers are in doubt by now.
    Random items are judged by their age alone: what they are must not decide whether they are seen.
    """
    items = _open_items(connection, classifier)
    settled = items["cleaned"].isin(set(inputs.drawn["cleaned"]))
    other = ~items["strategy"].isin(["contradicted"])
    settled |= other & items["cleaned"].isin(list(inputs.labelled))
    settled |= faded(items, inputs.phrases, scale=scale)
    chosen = items.loc[settled, "id"].astype(int).tolist()
    _close_old(connection, classifier, now=now)
    table = review_item.c
    among = sa.or_(
        table.id == sa.any_(sa.literal(chosen, sa.ARRAY(sa.BigInteger))),
        table.created_at < now - OPEN_FOR,
    )
    query = (
        review_item.update()
        .where(table.classifier == classifier, table.state == "open", among, ~_in_hand(now))
        .values(state="withdrawn")
    )
    return connection.execute(query).rowcount


def withdraw_faulty(connection: Connection, classifier: str, *, now: datetime) -> int:
    """Withdraw items whose answers lie in a window that people called a fault of the data.

    Nothing learns from such answers, random ones included. What somebody has in hand stays. Returns
    the number of items.
    """
    table = review_item.c
    lies_in_fault = sa.exists().where(
        inference.c.request_id == table.request_id,
        inference.c.occurred_at == table.occurred_at,
        inference.c.classifier == classifier,
        is_faulty(inference),
    )
    query = (
        review_item.update()
        .where(table.classifier == classifier, IS_OPEN, lies_in_fault, ~_in_hand(now))
        .values(state="withdrawn")
    )
    return connection.execute(query).rowcount if has_faults(connection, classifier) else 0


def faded(items: pd.DataFrame, phrases: pd.DataFrame, *, scale: float) -> pd.Series:
    """Mark the items, of ITEM_COLUMNS, whose answers in doubt have fallen to FADED of then: pure.

    `scale` is how many answers each row read stands for: below SEEN_FOR_SURE rows nothing is said.
    """
    now = (phrases["doubt"] * phrases["asks"]).groupby(phrases["cleaned"]).sum()
    then = (1 - items["confidence"].astype(float)) * items["frequency"].astype(float)
    value = items["cleaned"].map(now).astype(float).fillna(0.0)
    frequent = items["frequency"].astype(float) >= SEEN_FOR_SURE * scale
    marks: pd.Series = frequent & items["strategy"].isin(BY_DOUBT) & (value < FADED * then)
    return marks


def _open_items(connection: Connection, classifier: str) -> pd.DataFrame:
    """Return ITEM_COLUMNS of the open items that are not random."""
    table = review_item.c
    query = sa.select(*(table[name] for name in ITEM_COLUMNS)).where(
        table.classifier == classifier, table.state == "open", table.probability.is_(None)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    return pd.DataFrame.from_records(rows, columns=list(ITEM_COLUMNS))


def _close_old(connection: Connection, classifier: str, *, now: datetime) -> None:
    """Decide the items that have waited for another person for OPEN_FOR."""
    table = review_item.c
    query = (
        sa.select(review_item)
        .where(
            table.classifier == classifier,
            IS_OPEN,
            table.created_at < now - OPEN_FOR,
            _is_answered(),
            ~_is_leased(now),
        )
        .order_by(table.id)
        .with_for_update(skip_locked=True)
    )
    for item in connection.execute(query).all():
        close_item(connection, item, now=now)


def _in_hand(now: datetime) -> sa.ColumnElement[bool]:
    """Somebody has the item before them, or has answered it and a second person is still to."""
    return sa.or_(_is_leased(now), _is_answered())


def _is_leased(now: datetime) -> sa.ColumnElement[bool]:
    return sa.exists().where(review_lease.c.item == review_item.c.id, review_lease.c.until > now)


def _is_answered() -> sa.ColumnElement[bool]:
    answer = review_answer.c
    return sa.exists().where(
        answer.item == review_item.c.id, answer.undone_at.is_(None), answer.kind != "skip"
    )
