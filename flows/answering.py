"""Which version answers, and that version itself, for answers without a service.

MLflow's aliases are compared with the versions that answer, and repaired.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.contracts import ModelVersion, Prediction, Rollout
from core.embedded import postmaster
from core.errors import DatabaseUnreachable, EmbedderUnusable, UnknownVersion
from core.logs import get_logger
from core.pins import Pin, apply_pin, settle
from core.settings import Settings
from machine.local_http import ask

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from core.database import DatabaseUrls
    from core.memory_revisions import MemoryRevision
    from pipelines.model.classifier import PhraseClassifier
    from pipelines.model.embedder import Embed


def rollouts_of(settings: Settings) -> dict[str, Rollout]:
    """Return classifier -> its rollout: champion, canary and shadow.

    Empty while the database is down. Repairs MLflow's aliases on the way.
    """
    if settings.database_url is None and postmaster(settings.home / "postgres") is None:
        return {}
    try:
        return _rollouts(settings)
    except DatabaseUnreachable as error:
        get_logger().warning("versions unknown", error=str(error))
        return {}


def _rollouts(settings: Settings) -> dict[str, Rollout]:
    from core.database import connect, open_database
    from core.deployments import current_rollouts

    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        with engine.connect() as connection:
            rollouts = current_rollouts(connection)
        for name, rollout in sorted(rollouts.items()):
            champion = rollout.champion
            if champion and _alias_is_wrong(settings, name, champion.model.version):
                _repair(settings, urls, engine, name)
        engine.dispose()
    return rollouts


def _alias_is_wrong(settings: Settings, classifier: str, version: str) -> bool:
    """Ask the MLflow server, within milliseconds; without one the next promotion repairs."""
    query = urllib.parse.urlencode({"name": classifier})
    url = f"{settings.mlflow_url}/api/2.0/mlflow/registered-models/get?{query}"
    model = (ask(url) or {}).get("registered_model", {})
    aliases = {row["alias"]: str(row["version"]) for row in model.get("aliases", [])}
    return bool(aliases) and aliases.get("champion") != version


def _repair(settings: Settings, urls: DatabaseUrls, engine: Engine, classifier: str) -> None:
    from machine.environment import apply_environment, flow_environment, mlflow_uri

    apply_environment(flow_environment(settings, urls))
    from pipelines.promotion import repair_aliases
    from pipelines.registry import Registry

    repair_aliases(engine, Registry(mlflow_uri(urls), settings.home / "mlartifacts"), classifier)


@dataclass(frozen=True)
class Champion:
    """What answers for a classifier, without a service. `pins` are by cleaned phrase."""

    version: str
    classifier: PhraseClassifier
    pins: Mapping[str, Pin]

    def answer(self, phrases: Sequence[str]) -> list[tuple[Prediction, bool]]:
        """Return what clients get for each phrase, in order, and whether a pin answered."""
        own = self.classifier.predict(phrases, top=1)
        pins = [self.pin_of(phrase) for phrase in phrases]
        own = [settle(answer, pin) for answer, pin in zip(own, pins, strict=True)]
        answers = [apply_pin(answer, pin) for answer, pin in zip(own, pins, strict=True)]
        return [(answer, answer is not before) for answer, before in zip(answers, own, strict=True)]

    def pin_of(self, phrase: str) -> Pin | None:
        """Return the pin of a phrase, whether it is active or not."""
        from pipelines.model.text import clean_phrase

        return self.pins.get(clean_phrase(phrase))


def answering_classifier(settings: Settings, name: str, region: str | None) -> str:
    """Return the classifier that answers a question in a region. Raises `UnknownClassifier`."""
    from core.params.schema import load_params

    return load_params(settings.repository / "params.yaml").answering(name, region)


def open_champion(settings: Settings, classifier: str) -> Champion:
    """Return the champion, ready to answer, with the pins of now.

    Raises `UnknownClassifier`, `UnknownVersion` before the first champion, `HeadRefused`, or
    `EmbedderUnusable`.
    """
    from core.params.schema import load_params

    load_params(settings.repository / "params.yaml").classifier(classifier)
    model, revision, pins = _champion(settings, classifier)
    by_phrase = {pin.cleaned: pin for pin in pins}
    return Champion(model.version, open_version(settings, model, revision), by_phrase)


def open_version(
    settings: Settings, model: ModelVersion, revision: MemoryRevision | None = None
) -> PhraseClassifier:
    """Return a retained version, ready to answer, with its embedder and a memory beside it.

    Raises `HeadRefused`, or `EmbedderUnusable` when the embedder is not in this home.
    """
    from pipelines.memory.store import recorded_memory
    from pipelines.model.classifier import PhraseClassifier
    from pipelines.model.head_file import load_checked
    from pipelines.model.registered_rule import load_promised

    head = load_checked(Path(model.head_location), digest=model.head_digest)
    memory = recorded_memory(revision) if revision else None
    return PhraseClassifier(
        head,
        open_embedder(settings, model),
        memory=memory,
        abstention=load_promised(Path(model.head_location)),
    )


def open_embedder(settings: Settings, model: ModelVersion) -> Embed:
    """Return the embedder of a version; raises `EmbedderUnusable` when it is not in this home."""
    from pipelines.model.embedder import load_embedder

    folder = settings.kept_embedder(model.embedder_id)
    if folder is None:
        raise EmbedderUnusable(
            f"the embedder {model.embedder_id} in {settings.embedders}",
            came="none",
            do=f"rebuild it: `perennial reproduce {model.classifier} {model.version}`",
        )
    return load_embedder(folder)


def _champion(
    settings: Settings, classifier: str
) -> tuple[ModelVersion, MemoryRevision | None, Sequence[Pin]]:
    from core.database import connect, open_database
    from core.deployments import current_champions
    from core.memory_revisions import newest_revisions
    from core.pins import read_pins

    with open_database(settings) as urls:
        engine = connect(urls.perennial)
        with engine.connect() as connection:
            entry = current_champions(connection).get(classifier)
            revision = newest_revisions(connection).get(classifier)
            known = read_pins(connection, now=datetime.now(UTC), classifier=classifier)
        engine.dispose()
    if entry is None:
        raise UnknownVersion(
            f"a champion of {classifier}",
            came="none yet",
            do=f"run `perennial retrain {classifier}`",
        )
    return entry.model, revision, known.pins
