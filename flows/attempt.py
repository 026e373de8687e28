"""One run over several classifiers: those that go on, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.contracts import Verdict
from core.errors import PerennialError
from core.logs import get_logger


@dataclass
class Attempt:
    """The classifiers that a run still retrains, and the errors of the others."""

    remaining: list[str]
    errors: dict[str, PerennialError] = field(default_factory=dict)

    def leave_out(self, errors: Mapping[str, PerennialError]) -> None:
        """Go on without these. Raises the first error when no classifier is left."""
        for name, error in errors.items():
            get_logger().error("classifier left out", classifier=name, error=str(error))
        self.errors |= errors
        self.remaining = [name for name in self.remaining if name not in errors]
        if not self.remaining:
            raise next(iter(self.errors.values()))

    @contextmanager
    def alone(self, classifier: str) -> Iterator[None]:
        """Leave the classifier out when the block raises a named error."""
        try:
            yield
        except PerennialError as error:
            self.leave_out({classifier: error})

    def verdicts(self) -> dict[str, Verdict]:
        """Return the Verdict "failed" of each classifier that was left out."""
        return {
            name: Verdict("failed", (str(error),), {"code": error.code})
            for name, error in self.errors.items()
        }
