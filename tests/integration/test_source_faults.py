"""Extraction from a real PostgreSQL: a cut connection, a full disk, an interrupt."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import stamina
from sqlalchemy.engine import make_url

from core.database import DatabaseUrls
from core.errors import SourceUnreachable
from core.settings import REPOSITORY
from pipelines.source.extract import extract
from tests.support.processes import wait_for

ROWS = """
select n as id, md5(n::text) as phrase, timestamptz '2025-01-01Z' as occurred_at, 'A' as block
from generate_series(1, 200000) n
"""
EXTRACT = """
import resource, sys
from pathlib import Path
from core.errors import PerennialError
from pipelines.source.extract import extract
query, url, target, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    extract(query, url=url, target=Path(target), label_columns=["block"])
except PerennialError as error:
    sys.exit(error.code)
"""
ENOUGH = 2_000_000  # bytes of about 14 million


class CuttingProxy:
    """Pass TCP on to the server's socket file.

    The first `cuts` connections that carry ENOUGH bytes of an answer end there.
    """

    def __init__(self, server: str, *, cuts: int) -> None:
        self.cuts = cuts
        self.made = 0
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                passed += len(data)
                if passed > ENOUGH and self.made < self.cuts:
                    self.made += 1
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(database: DatabaseUrls, *, cuts: int) -> Iterator[tuple[CuttingProxy, str]]:
    url = make_url(database.perennial)
    proxy = CuttingProxy(f"{url.query['host']}/.s.PGSQL.5432", cuts=cuts)
    try:
        yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}/{url.database}?sslmode=disable"
    finally:
        proxy.close()


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4):
        yield


def run(url: str, target: Path) -> int:
    return extract(ROWS, url=url, target=target, label_columns=["block"]).rows


def test_a_connection_cut_in_the_middle_of_the_stream_costs_nothing(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    assert run(database.perennial, tmp_path / "whole") == 200_000
    with cutting(database, cuts=2) as (proxy, url):
        assert run(url, tmp_path / "cut") == 200_000
        assert proxy.made == 2
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_connection_cut_every_time_is_named_and_leaves_what_was_there(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    target = tmp_path / "rows.arrow"
    target.write_bytes(b"before")
    with cutting(database, cuts=100) as (proxy, url), pytest.raises(SourceUnreachable):
        run(url, target)
    assert proxy.made == 4
    assert target.read_bytes() == b"before" and [path.name for path in tmp_path.iterdir()] == [
        "rows.arrow"
    ]


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", EXTRACT, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_a_full_disk_is_named_and_leaves_what_was_there(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    target = tmp_path / "rows.arrow"
    target.write_bytes(b"before")
    _, output = started(ROWS, database.perennial, target, 500_000).communicate(timeout=120)
    assert output.strip() == "disk_full"
    assert target.read_bytes() == b"before" and [path.name for path in tmp_path.iterdir()] == [
        "rows.arrow"
    ]


def test_an_interrupt_ends_a_query_that_would_take_an_hour(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    slow = f"select * from ({ROWS}) r where pg_sleep(3600) is not null /* slow source */"
    process = started(slow, database.perennial, tmp_path / "rows.arrow", 0)
    with psycopg.connect(database.perennial, autocommit=True) as look:
        active = """
            select count(*) from pg_stat_activity
            where query like '%slow source%' and pid <> pg_backend_pid() and state = 'active'
        """
        wait_for(lambda: look.execute(active).fetchone() == (1,), seconds=60, what="the query runs")
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=60)
        assert output.strip().splitlines()[-1].startswith("KeyboardInterrupt")
        wait_for(
            lambda: look.execute(active).fetchone() == (0,),
            seconds=60,
            what="the query was ended in the database too",
        )
    assert list(tmp_path.iterdir()) == []
