"""`GET /v1/classifiers`: what answers, and which versions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from bentos.heads.live_heads import LiveRollout
from bentos.http.endpoint import AppState, Call


class BesideInfo(Struct):
    """A version beside the champion.

    A canary answers `share` of the requests. A shadow scores all and answers none.
    """

    version: str
    role: str
    share: Annotated[float, Meta(ge=0, le=1)]


class LineInfo(Struct):
    """The question `of`, which the classifier answers for requests whose region is `value`."""

    of: str
    by: str
    value: str


class ClassifierInfo(Struct, omit_defaults=True):
    """A classifier, the version that answers for it, and those beside it.

    `line` is absent for a classifier that answers every region.
    """

    classifier: str
    version: str
    role: str
    labels: list[str]
    beside: list[BesideInfo]
    line: LineInfo | None = None


class ClassifiersResponse(Struct):
    """Every classifier that answers, by name."""

    classifiers: list[ClassifierInfo]


async def list_classifiers(state: AppState, _: Call) -> bytes:
    """List every classifier that answers, by name."""
    infos = [_info(name, rollout) for name, rollout in sorted(state.heads.current.items())]
    return msgspec.json.encode(ClassifiersResponse(infos))


def _info(name: str, rollout: LiveRollout) -> ClassifierInfo:
    beside = [
        BesideInfo(live.model.version, live.role, rollout.share if live is rollout.canary else 1.0)
        for live in rollout.models[1:]
    ]
    champion = rollout.champion
    line = champion.classifier.head.line
    return ClassifierInfo(
        name,
        champion.model.version,
        champion.role,
        list(champion.labels),
        beside,
        LineInfo(line.of, line.by, line.value) if line else None,
    )
