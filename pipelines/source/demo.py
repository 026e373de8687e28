"""The demo source: five years of a hospital group's coding desk, in five tables of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

import numpy as np
import psycopg

from core.errors import SourceUnreachable
from core.logs import first_line
from pipelines.source.arrivals import Day, draw_day
from pipelines.source.icd import PHASES, Catalogue
from pipelines.source.practice import CLERKS, DAYS, EPOCH, REGIONS, Practice, Scale, load_practice

_TABLES = """
drop table if exists diagnosis, encounter, term, code, region;
create table region (id smallint primary key, name text not null);
create table code (
    code text primary key, title text not null,
    block text not null, block_title text not null, chapter text not null
);
create table term (
    id integer primary key, phrase text not null, code text not null, encounter_phase text not null
);
create table encounter (
    id integer primary key, occurred_at timestamptz not null,
    region_id smallint not null, clerk text not null
);
create table diagnosis (
    id integer primary key, encounter_id integer not null,
    phrase text not null, term_id integer not null, code text not null
);
"""
_KEYS = """
alter table term add foreign key (code) references code;
alter table encounter add foreign key (region_id) references region;
alter table diagnosis
    add foreign key (encounter_id) references encounter,
    add foreign key (term_id) references term,
    add foreign key (code) references code;
create index diagnosis_by_encounter on diagnosis (encounter_id);
analyze region, code, term, encounter, diagnosis;
"""
_LINES_PER_WRITE = 20_000


def build_demo_source(url: str, *, scale: Scale, seed: int) -> int:
    """Create the five tables anew in one transaction; return the number of diagnosis rows.

    Parameters
    ----------
    url : str
        `postgresql://` URL of a database that exists.
    seed : int
        Draws the arrivals; equal scale and seed give equal rows.

    Raises
    ------
    SourceUnreachable
    """
    practice = load_practice(scale)
    try:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(_TABLES)
            rows = _fill(cursor, practice, seed)
            cursor.execute(_KEYS)
    except psycopg.OperationalError as error:
        raise SourceUnreachable(
            "a PostgreSQL for the demo source",
            came=first_line(error),
            do="start it, or correct the URL",
        ) from None
    return rows


def _fill(cursor: psycopg.Cursor, practice: Practice, seed: int) -> int:
    catalogue = practice.catalogue
    _copy(cursor, "region", (f"{number}\t{name}" for number, name in enumerate(REGIONS)))
    _copy(
        cursor,
        "code",
        (
            "\t".join((code.code, code.title, code.block, code.block_title, code.chapter))
            for code in catalogue.codes
        ),
    )
    _copy(cursor, "term", _term_lines(catalogue))
    days = [draw_day(practice, seed=seed, day=day) for day in range(DAYS)]
    numbers = np.cumsum(np.concatenate([day.encounter for day in days]))
    _copy(cursor, "encounter", _encounter_lines(days))
    _copy(cursor, "diagnosis", _diagnosis_lines(practice, days, numbers.tolist()))
    return len(numbers)


def _term_lines(catalogue: Catalogue) -> Iterator[str]:
    rows = zip(
        catalogue.base,
        catalogue.ending,
        catalogue.code.tolist(),
        catalogue.phase.tolist(),
        strict=True,
    )
    for number, (base, ending, code, phase) in enumerate(rows):
        yield f"{number}\t{base}{ending}\t{catalogue.codes[code].code}\t{PHASES[phase]}"


def _encounter_lines(days: list[Day]) -> Iterator[str]:
    number = 0
    for index, day in enumerate(days):
        midnight = EPOCH - timedelta(days=DAYS - index)
        opening = day.encounter
        for second, clerk in zip(
            day.second[opening].tolist(), day.clerk[opening].tolist(), strict=True
        ):
            number += 1
            moment = midnight + timedelta(seconds=second)
            yield f"{number}\t{moment.isoformat()}\t{CLERKS[clerk].region}\t{CLERKS[clerk].name}"


def _diagnosis_lines(practice: Practice, days: list[Day], encounters: list[int]) -> Iterator[str]:
    codes = [code.code for code in practice.catalogue.codes]
    number = 0
    for day in days:
        for phrase, term, code in zip(
            day.phrase, day.term.tolist(), day.recorded.tolist(), strict=True
        ):
            yield f"{number + 1}\t{encounters[number]}\t{phrase}\t{term}\t{codes[code]}"
            number += 1


def _copy(cursor: psycopg.Cursor, table: str, lines: Iterable[str]) -> None:
    """COPY tab-separated lines; the classification contains no tab, line end or backslash."""
    with cursor.copy(f"copy {table} from stdin") as copy:
        batch: list[str] = []
        for line in lines:
            batch.append(line)
            if len(batch) == _LINES_PER_WRITE:
                copy.write("\n".join(batch) + "\n")
                batch.clear()
        copy.write("".join(line + "\n" for line in batch))
