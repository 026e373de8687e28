"""`bentoml serve` with cures in its supervisor (circus). Run as a file: nothing of this repository is imported beside a bento.

BentoML loads the whole service to learn what to run. Once it has, this file runs again in the same process (same id, arguments and
environment) with circus alone, which needs a fifth of the memory for as long as the service lives.

It looks at its workers every second, not every ten: a killed worker is back that much earlier. When it stops, it first refuses new
connections, then lets the entry service finish, then stops the services that this one depends on. It is controlled over unix
sockets of its own user, not over two TCP ports that anybody on the machine could give orders to.

It serves further bentos beside the first: each is another process of the entry service, on the next port, with the first one's embedder.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

CHECK_SECONDS = 1.0
ENTRY = "_bento_api_server"
FURTHER = "PERENNIAL_FURTHER_BENTOS"
PLAN = "PERENNIAL_PLAN"  # from this file to itself: what to watch and to listen on, JSON
WATCHER = (
    *("name", "cmd", "args", "numprocesses", "working_dir", "graceful_timeout", "respawn"),
    *("copy_env", "stop_children", "use_sockets", "close_child_stdin"),
)
SOCKET = ("name", "host", "port", "path", "family", "backlog")
Options = dict[str, Any]


def main() -> None:
    """Act as `bentoml` with the arguments of this process, then as its supervisor."""
    if sys.path[0].endswith("packaging"):
        del sys.path[0]  # the folder of this file: its modules are not top-level ones
    plan = os.environ.pop(PLAN, None)
    if plan is not None:
        _supervise(**json.loads(plan))
        return
    atexit.register(
        _run_again
    )  # the first to register is the last to run: what BentoML clears away at its exit is gone by then
    from bentoml._internal.utils import circus
    from bentoml_cli.cli import cli

    circus.create_standalone_arbiter = _Planner  # type: ignore[assignment]
    cli()


class _Planner:
    """In the place of BentoML's arbiter (and of its exit stack): writes down what to run instead of running it."""

    def __init__(
        self,
        watchers: Sequence[Any],
        *,
        sockets: Sequence[Any],
        threaded: bool = False,
        **options: Any,
    ) -> None:
        told = [
            {**{name: getattr(one, name) for name in WATCHER}, "env": _added(one.env)}
            for one in watchers
        ]
        listening = [{name: getattr(one, name) for name in SOCKET} for one in sockets]
        for one in sockets:
            one.close()  # nothing is bound yet
        self.plan: Options = {
            "watchers": told,
            "sockets": listening,
            "folders": [],
            "options": options,
        }
        self.exit_stack = self

    def enter_context(self, tracking: Any) -> None:
        """BentoML's usage tracking, which the service does not want: not entered."""

    def callback(self, remove: Any, folder: str, **_: Any) -> None:
        """A folder to remove at the end: that of the unix sockets."""
        self.plan["folders"].append(folder)

    def start(self, cb: Callable[[Any], Any]) -> None:
        """Hand over. `cb` is BentoML's line on where it listens."""
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # Ctrl-C from here on ends this process, and not just what is left of BentoML
        os.environ[PLAN] = json.dumps(self.plan)
        cb(None)


def _added(environment: Mapping[str, str]) -> dict[str, str]:
    """What BentoML adds to the environment; the rest stays there, with its secrets."""
    return {name: value for name, value in environment.items() if os.environ.get(name) != value}


def _run_again() -> None:
    if PLAN in os.environ:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:]])


def _supervise(
    *, watchers: list[Options], sockets: list[Options], folders: Iterable[str], options: Options
) -> None:
    """Watch until a signal ends it, or a service that cannot be started."""
    logging.basicConfig(
        format="%(asctime)s [%(levelname)s] [] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        stream=sys.stdout,
    )
    tags = os.environ.get(FURTHER, "").split()
    further = [
        _further(watchers[-1], sockets[-1], number, tag) for number, tag in enumerate(tags, 2)
    ]
    entries = [watchers[-1], *(watcher for watcher, _ in further)]
    with ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="perennial-")
        for one in (*folders, folder):
            stack.callback(shutil.rmtree, one, ignore_errors=True)
        listening = [*sockets, *(further_socket for _, further_socket in further)]
        arbiter = _make_arbiter(
            watchers[:-1], entries, sockets=listening, folder=folder, options=options
        )
        failed = arbiter.start().exception()
        if failed:
            raise failed


def _make_arbiter(
    needed: list[Options],
    entries: list[Options],
    *,
    sockets: list[Options],
    folder: str,
    options: Options,
) -> Any:
    from circus.arbiter import Arbiter
    from circus.sockets import CircusSocket
    from circus.watcher import Watcher
    from tornado import gen

    first, then = [Watcher(**one) for one in entries], [Watcher(**one) for one in needed]

    class Ordered(Arbiter):
        @gen.coroutine
        def _stop_watchers(
            self, close_output_streams: bool = False, watcher_iter_func: Any = None
        ) -> Any:
            for name, listening in self.sockets.items():
                if name.startswith(ENTRY):
                    with suppress(OSError):
                        listening.shutdown(socket.SHUT_RDWR)  # for every process that inherited it
            yield [watcher._stop(close_output_streams) for watcher in first]
            for watcher in self.watchers:
                if watcher not in first:
                    yield watcher._stop(close_output_streams)

    return Ordered(
        [*then, *first],
        sockets=[CircusSocket(**one) for one in sockets],
        endpoint=f"ipc://{folder}/control",
        pubsub_endpoint=f"ipc://{folder}/events",
        **{**options, "check_delay": CHECK_SECONDS},
    )


def _further(entry: Options, listening: Options, number: int, tag: str) -> tuple[Options, Options]:
    """The watcher and the socket of one more bento: those of the first, with another tag, number and port."""
    name = f"{ENTRY}_{number}"
    told = {"--fd": f"$(circus.sockets.{name})"}
    args = [
        told.get(before, word)
        for before, word in zip(["", *entry["args"]], entry["args"], strict=False)
    ]
    args[2] = tag  # python -m <worker> <bento>
    environment = {**entry["env"], "PERENNIAL_BENTO": str(number)}
    watcher = {**entry, "name": f"service_{number}", "args": args, "env": environment}
    return watcher, {**listening, "name": name, "port": listening["port"] + number - 1}


if __name__ == "__main__":
    main()
