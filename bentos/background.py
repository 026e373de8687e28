"""Repeats one action on a daemon thread, off the request path."""

from __future__ import annotations

import threading
from collections.abc import Callable

from core.logs import first_line, get_logger

STOP_SECONDS = 5.0


class Background:
    """Calls `action` every `seconds`; an error is logged once until the action succeeds again."""

    def __init__(self, action: Callable[[], None], *, seconds: float, name: str) -> None:
        self._action = action
        self._seconds = seconds
        self._name = name
        self._stop = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Call the action once more and end; wait for that at most STOP_SECONDS."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        self._call()
        while not self._stop.wait(self._seconds):
            self._call()
        self._call()  # for what has come since the last call

    def _call(self) -> None:
        try:
            self._action()
        except Exception as error:
            if not self._failing:
                get_logger().error(
                    self._name,
                    state="failing",
                    error=f"{type(error).__name__}: {first_line(error)}",
                )
            self._failing = True
            return
        if self._failing:
            get_logger().info(self._name, state="recovered")
        self._failing = False
