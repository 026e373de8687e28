from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.embedder.heartbeat import Address, Heartbeat

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(
        dir="/tmp"
    ) as folder:  # short: a socket's path has at most 107 bytes
        yield str(Path(folder) / "s")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(1000):
            writer.write(ANSWER)
    finally:
        writer.close()


async def until(condition: object) -> None:
    async with asyncio.timeout(60):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def test_addresses_are_those_of_bentoml() -> None:
    assert Address.parse("file:///tmp/a%20b.sock").path == "/tmp/a b.sock"
    assert Address.parse("tcp://127.0.0.1:3001").base_url == "http://127.0.0.1:3001"


def test_life_death_and_life_again_are_noticed(path: str) -> None:
    async def run() -> tuple[list[str], bytes]:
        deaths: list[str] = []
        heartbeat = Heartbeat(Address(path), seconds=30, on_death=lambda: deaths.append("dead"))
        heartbeat.start()
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await answer(reader, writer)

        assert not heartbeat.alive
        async with await asyncio.start_unix_server(serve, path):
            await asyncio.wait_for(heartbeat.wait(), 60)
            writers[0].transport.abort()  # as the kernel does for a dead process
            await until(lambda: deaths)
            assert deaths == ["dead"]
            await asyncio.wait_for(heartbeat.wait(), 60)
            await heartbeat.stop()
        return deaths, heartbeat.last_stats

    assert asyncio.run(run()) == (["dead"], b"{}")


def test_a_socket_that_takes_connections_and_never_answers_is_no_life(path: str) -> None:
    async def run() -> bool:
        requested = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read(1000)
                requested.set()
                # From Python 3.12 on, closing a server waits for its connections.
                await reader.read()
            finally:
                writer.close()

        heartbeat = Heartbeat(Address(path), seconds=30, on_death=lambda: None)
        async with await asyncio.start_unix_server(silent, path):
            heartbeat.start()
            await asyncio.wait_for(requested.wait(), 60)
            await heartbeat.stop()
        return heartbeat.alive

    assert not asyncio.run(run())


def test_silence_after_life_is_death(path: str) -> None:
    async def run() -> list[str]:
        deaths: list[str] = []
        answers = iter([ANSWER])

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.read(1000):
                    writer.write(next(answers, b""))
            finally:
                writer.close()

        heartbeat = Heartbeat(Address(path), seconds=0.05, on_death=lambda: deaths.append("dead"))
        async with await asyncio.start_unix_server(once, path):
            heartbeat.start()
            await until(lambda: deaths)
            await heartbeat.stop()
        return deaths

    assert asyncio.run(run()) == ["dead"]
