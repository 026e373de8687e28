"""The heads that answer now: first those of the bento, then those that `deployment` names.

A swap is one assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from bentos.heads.lines import Lines, lines_by_question
from bentos.heads.loading import LiveModel, Signature, load_live, refuse_other_question, signature
from bentos.packaging.cold_heads import read_cold_heads
from core.contracts import RETIRED, Deployment, ModelVersion, Role, Rollout
from core.errors import HeadRefused
from core.logs import get_logger

ReadRollouts = Callable[[], Mapping[str, Rollout]]
RecordRefusals = Callable[[list["Refused"]], None]


@dataclass(frozen=True, slots=True)
class LiveRollout:
    """The versions of one classifier.

    The champion answers, beside it a canary for `share` of the requests. A shadow only scores.
    """

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
    """Follows the versions of every classifier for which `serves` returns true.

    `current` maps classifier to rollout. It is replaced, never changed, so that a request keeps the
    one it took. `lines` are the lines among them. `idle` is true when other classifiers have a
    champion and none of these has.

    A head that may not answer (see `loading`) is refused. The refusal is logged and reported once
    per row of `deployment`, and the head is checked again when its files change. The last good
    champion stays; a refused canary's share falls to the champion. `prepare` is called with a
    loaded version before it takes traffic, and may refuse it.
    """

    embedder_id: str
    home: Path
    prepare: Callable[[LiveModel], None] = lambda live: None
    serves: Callable[[str], bool] = lambda classifier: True
    idle: bool = False
    counts: HeadCounts = field(default_factory=HeadCounts)
    current: Mapping[str, LiveRollout] = field(default_factory=lambda: MappingProxyType({}))
    lines: Lines = field(default_factory=lambda: MappingProxyType({}))
    _refused: dict[Deployment, Signature] = field(default_factory=dict)
    _unreported: list[Refused] = field(default_factory=list)

    def start_cold(self, folder: Path) -> None:
        """Load the heads that came with the bento."""
        now = datetime.now(UTC)
        rollouts = {
            model.classifier: Rollout(
                Deployment(model, "champion", 1.0, now, "packed with the bento")
            )
            for model in read_cold_heads(folder)
        }
        self._follow(rollouts)
        self._unreported.clear()  # they are logged; `deployment` does not have these rows

    def refresh(self, read: ReadRollouts) -> None:
        """Follow `deployment` once. Raises what `read` raises, and keeps the last known state."""
        self._follow(read())

    def report_refusals(self, record: RecordRefusals) -> None:
        """Hand the refusals not yet recorded to `record`.

        Raises what `record` raises; the refusals are then handed over the next time.
        """
        if self._unreported:
            record(list(self._unreported))
            self._unreported.clear()

    def _follow(self, rollouts: Mapping[str, Rollout]) -> None:
        served = {name: rollout for name, rollout in rollouts.items() if self.serves(name)}
        self.idle = bool(rollouts) and not served
        entries = {
            entry
            for rollout in served.values()
            for entry in (rollout.champion, rollout.canary, rollout.shadow)
        }
        self._refused = {entry: seen for entry, seen in self._refused.items() if entry in entries}
        live_rollouts = {
            name: live
            for name, rollout in served.items()
            if (live := self._live(rollout, self.current.get(name))) is not None
        }
        retired = {name for name, rollout in served.items() if rollout == RETIRED}
        known = {**self.current, **live_rollouts}
        following = {name: live for name, live in known.items() if name not in retired}
        if following != self.current:
            self.lines = lines_by_question(
                (name, live.champion.classifier.head.line) for name, live in following.items()
            )
            self.current = MappingProxyType(following)

    def _live(self, rollout: Rollout, before: LiveRollout | None) -> LiveRollout | None:
        """Return what answers from now on; None when nothing does yet."""
        champion = before.champion if before else None
        if rollout.champion:
            champion = self._take(rollout.champion, before, beside=champion) or champion
        if champion is None:
            return None
        canary = self._take_beside(champion, rollout.canary, before)
        shadow = self._take_beside(champion, rollout.shadow, before)
        share = rollout.canary.share if canary and rollout.canary else 0.0
        return LiveRollout(champion, canary, share, shadow)

    def _take_beside(
        self, champion: LiveModel, entry: Deployment | None, before: LiveRollout | None
    ) -> LiveModel | None:
        if entry is None or entry.model.version == champion.model.version:
            return None
        return self._take(entry, before, beside=champion)

    def _take(
        self, entry: Deployment, before: LiveRollout | None, *, beside: LiveModel | None
    ) -> LiveModel | None:
        """Return the version of this row, loaded once for all roles; None when it is refused."""
        models = before.models if before else []
        loaded = next((live for live in models if _same(live.model, entry.model)), None)
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
        if loaded:
            live = replace(loaded, role=role)
        else:
            live = load_live(model, role, home=self.home, embedder_id=self.embedder_id)
        if beside is not None:
            refuse_other_question(live.labels, beside=beside.labels)
        if role != "shadow":
            self.prepare(live)
        return live

    def _refuse(self, entry: Deployment, error: HeadRefused, *, seen: Signature) -> None:
        if entry not in self._refused:
            self.counts.refusals += 1
            self._unreported.append(Refused(entry, str(error), datetime.now(UTC)))
            get_logger().error(
                "head refused",
                classifier=entry.model.classifier,
                version=entry.model.version,
                role=entry.role,
                error=str(error),
            )
        self._refused[entry] = seen


def _same(loaded: ModelVersion, wanted: ModelVersion) -> bool:
    return (loaded.version, loaded.head_digest) == (wanted.version, wanted.head_digest)
