"""The heads that answer now: cold from the bento, then whatever `deployment` says, swapped by one assignment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from bentos.heads.loading import LiveModel, load_live, refuse_other_question, signature
from bentos.packaging.cold_heads import read_cold_heads
from core.contracts import Deployment, ModelVersion, Role, Rollout
from core.errors import HeadRefused
from core.logs import get_logger

ReadRollouts = Callable[[], Mapping[str, Rollout]]
TellRefusals = Callable[[list["Refused"]], None]


@dataclass(frozen=True, slots=True)
class LiveRollout:
    """Who answers for one classifier: the champion; beside it a canary for `share` of the requests, and a shadow that only scores."""

    champion: LiveModel
    canary: LiveModel | None = None
    share: float = 0.0
    shadow: LiveModel | None = None

    @property
    def models(self) -> list[LiveModel]:
        return [live for live in (self.champion, self.canary, self.shadow) if live is not None]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of `deployment` whose head may not answer."""

    entry: Deployment
    reason: str
    at: datetime


@dataclass
class HeadCounts:
    """What the poll did since the start of this process."""

    swaps: int = 0
    refusals: int = 0


@dataclass
class LiveHeads:
    """`current` maps classifier to rollout; it is never changed, only replaced, so a request that took one keeps it.

    A head that may not answer (see `loading`) is refused: logged and told once for its row of `deployment`, and looked at again when
    its files change. Of the champion the last good version stays; a canary's share falls to the champion. `prepare` is called with a
    loaded version before it takes traffic, and may refuse it. Of the classifiers only those are followed that `serves` admits; `idle`:
    others have a champion, none of these has.
    """

    embedder_id: str
    home: Path
    prepare: Callable[[LiveModel], None] = lambda live: None
    serves: Callable[[str], bool] = lambda classifier: True
    idle: bool = False
    counts: HeadCounts = field(default_factory=HeadCounts)
    current: Mapping[str, LiveRollout] = field(default_factory=lambda: MappingProxyType({}))
    _refused: dict[Deployment, tuple] = field(default_factory=dict)
    _untold: list[Refused] = field(default_factory=list)

    def start_cold(self, folder: Path) -> None:
        """Load the heads that came with the bento."""
        now = datetime.now(UTC)
        self._follow(
            {
                one.classifier: Rollout(
                    Deployment(one, "champion", 1.0, now, "packed with the bento")
                )
                for one in read_cold_heads(folder)
            }
        )
        self._untold.clear()  # the log has them; `deployment` does not know these rows

    def refresh(self, read: ReadRollouts) -> None:
        """Look at `deployment` once. Raises what `read` raises; the last known state stays."""
        self._follow(read())

    def tell(self, record: TellRefusals) -> None:
        """Hand over the refusals not yet recorded. Raises what `record` raises; they are then handed over the next time."""
        if self._untold:
            record(list(self._untold))
            self._untold.clear()

    def _follow(self, all_: Mapping[str, Rollout]) -> None:
        wanted = {name: rollout for name, rollout in all_.items() if self.serves(name)}
        self.idle = bool(all_) and not wanted
        entries = {
            entry
            for rollout in wanted.values()
            for entry in (rollout.champion, rollout.canary, rollout.shadow)
        }
        self._refused = {entry: seen for entry, seen in self._refused.items() if entry in entries}
        found = {
            name: live
            for name, rollout in wanted.items()
            if (live := self._live(rollout, self.current.get(name))) is not None
        }
        if any(self.current.get(name) != live for name, live in found.items()):
            self.current = MappingProxyType({**self.current, **found})

    def _live(self, wanted: Rollout, before: LiveRollout | None) -> LiveRollout | None:
        """What shall answer; None when nothing does yet."""
        last = before.champion if before else None
        champion = (
            self._take(wanted.champion, before, beside=last) if wanted.champion else None
        ) or last
        if champion is None:
            return None
        canary, shadow = (
            self._take(entry, before, beside=champion)
            if entry and entry.model.version != champion.model.version
            else None
            for entry in (wanted.canary, wanted.shadow)
        )
        return LiveRollout(
            champion, canary, wanted.canary.share if canary and wanted.canary else 0.0, shadow
        )

    def _take(
        self, entry: Deployment, before: LiveRollout | None, *, beside: LiveModel | None
    ) -> LiveModel | None:
        """The version of this row, loaded once whatever roles it plays in turn; None when it is refused."""
        loaded = (
            next((live for live in before.models if _same(live.model, entry.model)), None)
            if before
            else None
        )
        if loaded is not None and loaded.role == entry.role:
            return loaded
        folder = self.home / entry.model.head_location
        if self._refused.get(entry) == signature(folder):
            return None
        try:
            live = self._loaded(entry.model, entry.role, loaded=loaded, beside=beside)
        except HeadRefused as error:
            self._refuse(entry, error, seen=signature(folder))
            return None
        self._refused.pop(entry, None)
        self.counts.swaps += 1
        get_logger().info(
            "live head",
            classifier=entry.model.classifier,
            version=entry.model.version,
            role=entry.role,
        )
        return live

    def _loaded(
        self, model: ModelVersion, role: Role, *, loaded: LiveModel | None, beside: LiveModel | None
    ) -> LiveModel:
        live = (
            replace(loaded, role=role)
            if loaded
            else load_live(model, role, home=self.home, embedder_id=self.embedder_id)
        )
        if beside is not None:
            refuse_other_question(live.labels, beside=beside.labels)
        if role != "shadow":
            self.prepare(live)
        return live

    def _refuse(self, entry: Deployment, error: HeadRefused, *, seen: tuple) -> None:
        if entry not in self._refused:
            self.counts.refusals += 1
            self._untold.append(Refused(entry, str(error), datetime.now(UTC)))
            get_logger().error(
                "head refused",
                classifier=entry.model.classifier,
                version=entry.model.version,
                role=entry.role,
                error=str(error),
            )
        self._refused[entry] = seen


def _same(one: ModelVersion, other: ModelVersion) -> bool:
    return (one.version, one.head_digest) == (other.version, other.head_digest)
