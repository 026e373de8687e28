"""Sources of a new user, made from word lists with a seed.

German job applications in an SQLite file, tickets in a schema of PostgreSQL.
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import psycopg
import sqlalchemy as sa

BEGIN = datetime(2025, 3, 3, 8)
TITLES: dict[str, tuple[str, ...]] = {
    "Pflege": ("Krankenschwester", "Altenpfleger", "Pflegehelferin", "Stationsleitung", "Hebamme"),
    "IT / Technik": (
        "Softwareentwickler",
        "Systemadministratorin",
        "Netzwerktechniker",
        "Datenbankentwicklerin",
        "Programmierer",
    ),
    "Küche": ("Koch", "Köchin", "Küchenhilfe", "Konditor", "Bäckerin"),
    "Büro": (
        "Sachbearbeiterin",
        "Sekretär",
        "Buchhalterin",
        "Assistenz der Geschäftsführung",
        "Bürokauffrau",
    ),
    "Lager & Verkehr": ("Lagerist", "Staplerfahrer", "Kraftfahrerin", "Disponent", "Kurier"),
}
LATER: dict[str, tuple[str, ...]] = {
    "Gärtnerei": (
        "Gärtner",
        "Floristin",
        "Baumpflegerin",
        "Landschaftsgärtner",
        "Gewächshaushilfe",
    )
}
BEFORE = ("", "Erfahrene ", "leitende ", "Aushilfe als ", "1. ", "  stellv.\u00a0", "DRINGEND: ")
AFTER = (
    "",
    " (m/w/d)",
    " in Teilzeit",
    " Nachtschicht",
    " München",
    " im Außendienst\n",
    " – Raum Köln",
    " 👷",
)
FIXED_TERM = " befristet bis Jahresende"
BEWERBUNGEN = "select stelle as phrase, eingang as occurred_at, bereich, befristet from bewerbung"
THINGS = (
    "printer",
    "badge",
    "laptop",
    "invoice",
    "parcel",
    "door",
    "server",
    "phone",
    "desk",
    "contract",
)
WORDS = (
    "amber",
    "basalt",
    "cobalt",
    "denim",
    "ember",
    "fjord",
    "garnet",
    "hazel",
    "indigo",
    "jade",
)
TROUBLES = ("is broken", "does not arrive", "needs a new owner", "was stolen", "is too slow")
MANNERS = ("please help", "since monday", "again", "in building {n}")
TICKETS = (
    'select ticket_no as id, "Betreff" as phrase, opened as occurred_at, queue from helpdesk.ticket'
)

CREATE_BEWERBUNG = """
create table if not exists bewerbung (stelle text, bereich text, befristet integer, eingang text)
"""
CREATE_TICKET = """
create table helpdesk.ticket (
    ticket_no uuid primary key, "Betreff" varchar(200), opened timestamptz, queue text
)
"""


def applications(
    count: int, *, titles: dict[str, tuple[str, ...]], begin: datetime, seed: int
) -> Iterator[tuple[str, str, int, str]]:
    """Rows of stelle, bereich, befristet (0 or 1) and eingang, one every 13 minutes.

    Some phrases repeat; eingang is text without a zone.
    """
    drawn = random.Random(seed)
    for number in range(count):
        area = drawn.choice(list(titles))
        fixed = drawn.random() < 0.3
        title = (
            drawn.choice(BEFORE)
            + drawn.choice(titles[area])
            + drawn.choice(AFTER)
            + (FIXED_TERM if fixed else "")
        )
        yield title, area, int(fixed), f"{begin + timedelta(minutes=13 * number):%Y-%m-%d %H:%M:%S}"


def write_applications(path: Path, rows: Iterator[tuple[str, str, int, str]]) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(CREATE_BEWERBUNG)
        connection.executemany("insert into bewerbung values (?, ?, ?, ?)", rows)


def write_tickets(url: str, *, labels: int, rows_a_label: int, buildings: int = 30) -> None:
    """A schema with uuid keys, times with a zone and up to 1,000 labels of three words each.

    More buildings make more distinct phrases.
    """
    queues = [" ".join(words) for words in product(THINGS, WORDS, WORDS)][:labels]
    drawn = random.Random(11)
    begin = datetime(2025, 3, 3, tzinfo=UTC)
    with psycopg.connect(
        sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ) as connection:
        connection.execute("create schema helpdesk")
        connection.execute(CREATE_TICKET)
        with connection.cursor().copy("copy helpdesk.ticket from stdin") as copy:
            for queue in (queue for queue in queues for _ in range(rows_a_label)):
                number = uuid.UUID(int=drawn.getrandbits(128))
                text = ticket(queue, drawn, buildings=buildings)
                copy.write_row(
                    (number, text, begin + timedelta(minutes=drawn.randrange(300_000)), queue)
                )


def ticket(queue: str, drawn: random.Random, *, buildings: int) -> str:
    thing, first, second = queue.split()
    manner = drawn.choice(MANNERS).format(n=drawn.randrange(buildings))
    return f"{first} {thing} of {second} {drawn.choice(TROUBLES)} {manner}"
