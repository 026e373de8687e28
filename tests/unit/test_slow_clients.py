from __future__ import annotations

from dataclasses import dataclass, field

from bentos.http.slow_clients import SlowClients


@dataclass
class Cycle:
    response_complete: bool = False


@dataclass
class Transport:
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass(eq=False)
class Connection:
    cycle: Cycle | None = None
    transport: Transport = field(default_factory=Transport)


def test_a_connection_that_never_asks_is_closed_and_one_that_is_answered_is_not() -> None:
    silent = Connection()
    busy = Connection(Cycle())
    slow_clients = SlowClients(seconds=10)
    for now in range(60):
        slow_clients.close_expired([silent, busy], now=now)
        assert silent.transport.closed == (now > 10)
    assert not busy.transport.closed, "its answer takes as long as it takes"


def test_the_clock_begins_anew_with_every_answer() -> None:
    connection = Connection()
    slow_clients = SlowClients(seconds=10)
    for now in range(100):
        if now % 8 == 0:
            connection.cycle = Cycle()
        elif connection.cycle is not None:
            connection.cycle.response_complete = True
        assert slow_clients.close_expired([connection], now=now) == 0


def test_a_second_head_that_stays_unfinished_is_closed_too() -> None:
    connection = Connection(Cycle(response_complete=True))
    slow_clients = SlowClients(seconds=10)
    closed = [slow_clients.close_expired([connection], now=now) for now in (0, 5, 10, 11)]
    assert closed == [0, 0, 0, 1]


def test_connections_that_are_gone_are_forgotten() -> None:
    slow_clients = SlowClients(seconds=10)
    slow_clients.close_expired([Connection()], now=0)
    assert len(slow_clients._waiting) == 0
