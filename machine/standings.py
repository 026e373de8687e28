"""Reads the standing of every classifier; asks the database and Prefect while they run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from core.contracts import RETIRED, Deployment, Rollout
from core.database import connect, open_database
from core.embedded import postmaster
from core.errors import DatabaseUnreachable, ParamsError
from core.params.drift import DriftParams
from core.params.schema import ClassifierParams, load_params
from core.settings import Settings
from machine.schedules import Schedule, schedules_of
from monitoring.drift.power_reports import read_powers
from monitoring.outcomes import Unfinished, read_unfinished
from monitoring.standing import Standing, read_standing


@dataclass(frozen=True)
class Standings:
    """By classifier: its standing and its schedules, how soon a watch calls a change, and the
    verdicts that wait for time or a person.
    """

    classifiers: Mapping[str, Standing]
    schedules: Mapping[str, list[Schedule]]
    powers: Mapping[str, str]
    unfinished: Mapping[str, Sequence[Unfinished]]


def standings_of(
    settings: Settings, rollouts: Mapping[str, Rollout], *, now: datetime
) -> Standings:
    """Return the standings of the classifiers of params.yaml and of those that answer.

    Empty while the database is down.
    """
    if settings.database_url is None and postmaster(settings.home / "postgres") is None:
        return Standings({}, {}, {}, {})
    blocks = _blocks(settings)
    champions = champions_of(blocks, rollouts)
    try:
        with open_database(settings) as urls:
            engine = connect(urls.perennial)
            with engine.connect() as connection:
                standings = read_standings(connection, champions, blocks, now=now)
            engine.dispose()
    except DatabaseUnreachable:
        return Standings({}, {}, {}, {})
    return replace(standings, schedules=schedules_of(settings, champions))


def champions_of(
    blocks: Collection[str], rollouts: Mapping[str, Rollout]
) -> dict[str, Deployment | None]:
    """Return the champion of every block, and of every other classifier that has not retired."""
    others = [name for name, rollout in rollouts.items() if rollout != RETIRED]
    return {
        name: rollouts[name].champion if name in rollouts else None
        for name in dict.fromkeys([*blocks, *others])
    }


def read_standings(
    connection: Connection,
    champions: Mapping[str, Deployment | None],
    blocks: Mapping[str, ClassifierParams],
    *,
    now: datetime,
) -> Standings:
    """Return the standings of the classifiers in `champions`, without their schedules."""
    unfinished = read_unfinished(connection)
    read = _read(connection, champions, blocks, unfinished, now=now)
    return Standings(read, {}, read_powers(connection), unfinished)


def _read(
    connection: Connection,
    champions: Mapping[str, Deployment | None],
    blocks: Mapping[str, ClassifierParams],
    unfinished: Mapping[str, Sequence[Unfinished]],
    *,
    now: datetime,
) -> dict[str, Standing]:
    drift = {name: block.drift for name, block in blocks.items()}
    return {
        name: read_standing(
            connection,
            name,
            champion,
            cool_down_days=drift.get(name, DriftParams()).cool_down_days,
            unfinished=unfinished.get(name, ()),
            now=now,
        )
        for name, champion in champions.items()
    }


def _blocks(settings: Settings) -> Mapping[str, ClassifierParams]:
    """Return the blocks; none where params.yaml cannot be read: `doctor` says why."""
    try:
        return load_params(settings.repository / "params.yaml").classifiers
    except ParamsError:
        return {}
