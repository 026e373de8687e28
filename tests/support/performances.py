"""How good a version's answers were, by all labels that came."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.engine import Engine

from monitoring.performance.answer_counts import count_answers
from monitoring.performance.figures import Performance, measure_by
from monitoring.performance.periods import Period

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def performance_by_version(
    engine: Engine, classifier: str, period: Period | None = None
) -> dict[str, Performance]:
    """Return version -> performance; shadows are named `2 (shadow)`. Only committed rows count."""
    counted = count_answers(engine, classifier, now=NOW)
    with engine.connect() as connection:
        rows = measure_by(
            connection,
            classifier,
            by=("version",),
            period=period or Period(),
            counted=counted.until,
            shadows=True,
        )
    return {row.group[0]: row for row in rows}
