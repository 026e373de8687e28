"""`bentoml serve` with cures in its supervisor (circus). Run as a file: nothing of this repository is imported beside a bento.

It looks at its workers every second, not every ten: a killed worker is back that much earlier. When it stops, it first refuses new
connections, then lets the entry service finish, then stops the services that this one depends on. It is controlled over unix
sockets of its own user, not over two TCP ports that anybody on the machine could give orders to.
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from contextlib import suppress
from typing import Any

CHECK_SECONDS = 1.0
ENTRY = "_bento_api_server"


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
            with suppress(OSError):
                self.sockets[ENTRY].shutdown(socket.SHUT_RDWR)  # for every process that inherited it
            for watcher in reversed(self.watchers):  # dependencies were listed first
                yield watcher._stop(close_output_streams)

    folder = tempfile.mkdtemp(prefix="perennial-")
    arbiter = Ordered(
        watchers, endpoint=f"ipc://{folder}/control", pubsub_endpoint=f"ipc://{folder}/events", **{**options, "check_delay": CHECK_SECONDS}
    )
    arbiter.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return arbiter


if __name__ == "__main__":
    main()
