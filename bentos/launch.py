"""`bentoml serve` with cures in its supervisor (circus). Run as a file: nothing of this repository is imported beside a bento.

It looks at its workers every second, not every ten: a killed worker is back that much earlier. When it stops, it first refuses new
connections, then lets the entry service finish, then stops the services that this one depends on. It is controlled over unix
sockets of its own user, not over two TCP ports that anybody on the machine could give orders to.

It serves further bentos beside the first: each is another process of the entry service, on the next port, with the first one's embedder.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from contextlib import suppress
from typing import Any

CHECK_SECONDS = 1.0
ENTRY = "_bento_api_server"
FURTHER = "PERENNIAL_FURTHER_BENTOS"


def main() -> None:
    """Act as `bentoml` with the arguments of this process."""
    if sys.path[0].endswith("bentos"):
        del sys.path[0]  # the folder of this file: its modules are not top-level ones
    from bentoml._internal.utils import circus
    from bentoml_cli.cli import cli

    circus.create_standalone_arbiter = _make_arbiter
    cli()


def _make_arbiter(watchers: list[Any], *, threaded: bool = False, **options: Any) -> Any:
    from bentoml._internal.utils.circus import Arbiter
    from tornado import gen

    class Ordered(Arbiter):
        @gen.coroutine
        def _stop_watchers(self, close_output_streams: bool = False, watcher_iter_func: Any = None) -> Any:
            for name, listening in self.sockets.items():
                if name.startswith(ENTRY):
                    with suppress(OSError):
                        listening.shutdown(socket.SHUT_RDWR)  # for every process that inherited it
            yield [watcher._stop(close_output_streams) for watcher in entries]
            for watcher in self.watchers:
                if watcher not in entries:
                    yield watcher._stop(close_output_streams)

    sockets = options.pop("sockets")
    further = [_further(watchers[-1], sockets[-1], number, tag) for number, tag in enumerate(os.environ.get(FURTHER, "").split(), 2)]
    entries = [watchers[-1], *(watcher for watcher, _ in further)]
    folder = tempfile.mkdtemp(prefix="perennial-")
    arbiter = Ordered(
        [*watchers[:-1], *entries],
        sockets=[*sockets, *(listening for _, listening in further)],
        endpoint=f"ipc://{folder}/control",
        pubsub_endpoint=f"ipc://{folder}/events",
        **{**options, "check_delay": CHECK_SECONDS},
    )
    arbiter.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return arbiter


def _further(entry: Any, listening: Any, number: int, tag: str) -> tuple[Any, Any]:
    """The watcher and the socket of one more bento: those of the first, with another tag, number and port."""
    from bentoml.serving import create_watcher
    from circus.sockets import CircusSocket

    name = f"{ENTRY}_{number}"
    told = {"--fd": f"$(circus.sockets.{name})"}
    args = [told.get(before, word) for before, word in zip(["", *entry.args], entry.args, strict=False)]
    args[2] = tag  # python -m <worker> <bento>
    watcher = create_watcher(
        name=f"service_{number}",
        cmd=sys.executable,
        args=args,
        working_dir=entry.working_dir,
        numprocesses=entry.numprocesses,
        close_child_stdin=entry.close_child_stdin,
        env={**entry.env, "PERENNIAL_BENTO": str(number)},
    )
    port, family = listening.port + number - 1, listening.family
    return watcher, CircusSocket(name=name, host=listening.host, port=port, family=family, backlog=listening.backlog)


if __name__ == "__main__":
    main()
