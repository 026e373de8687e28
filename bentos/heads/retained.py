"""Versions requested by number: loaded from the model store on request, a few of them kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from bentos.heads.live_heads import LiveRollout
from bentos.heads.loading import LiveModel, Signature, load_live, signature
from bentos.heads.routing import route
from bentos.lru import LruCache
from core.contracts import ModelVersion
from core.errors import UnknownVersion
from pipelines.model.digests import recorded_digest

KEPT = 8  # loaded heads, of 1 to 5 MB each
NAMED_VERSIONS = 20  # in an error

_Key = tuple[str, str, Signature]  # classifier, version, signature: changed files are loaded again


class Retained:
    """For one event loop. Files are read on a separate thread, one version at a time.

    `loads` counts the versions that were loaded since the start of this process.
    """

    def __init__(
        self,
        live: Callable[[], Mapping[str, LiveRollout]],
        *,
        models: Path,
        home: Path,
        embedder_id: str,
    ) -> None:
        self.loads = 0
        self._live = live
        self._models = models
        self._home = home
        self._embedder_id = embedder_id
        self._kept: LruCache[_Key, LiveModel] = LruCache(KEPT)
        self._promised: dict[_Key, asyncio.Future[LiveModel]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="retained")

    def __len__(self) -> int:
        return len(self._kept)

    async def find(self, classifier: str, version: str) -> LiveModel:
        """Return the version in the role "asked". `version` must be digits.

        Raises `UnknownClassifier`, `UnknownVersion` naming known versions, `HeadRefused` for a head
        that may not answer.
        """
        rollout = route(self._live(), classifier)
        current = next((live for live in rollout.models if live.model.version == version), None)
        if current is not None:
            return replace(current, role="asked")
        key = (classifier, version, signature(self._models / classifier / version))
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        # A request that waits may be cancelled; the load is for all of them.
        return await asyncio.shield(self._promise(key))

    def _promise(self, key: _Key) -> asyncio.Future[LiveModel]:
        if key not in self._promised:
            loop = asyncio.get_running_loop()
            self._promised[key] = loop.run_in_executor(self._reader, self._load, *key[:2])
            self._promised[key].add_done_callback(lambda loaded: self._keep(key, loaded))
        return self._promised[key]

    def _keep(self, key: _Key, loaded: asyncio.Future[LiveModel]) -> None:
        del self._promised[key]
        if not loaded.cancelled() and loaded.exception() is None:
            self.loads += 1
            self._kept.put(key, loaded.result())

    def _load(self, classifier: str, version: str) -> LiveModel:
        folder = self._models / classifier / version
        if not folder.is_dir():
            raise self._unknown(classifier, version)
        model = ModelVersion(
            classifier, version, str(folder), recorded_digest(folder), self._embedder_id
        )
        return load_live(model, "asked", home=self._home, embedder_id=self._embedder_id)

    def _unknown(self, classifier: str, version: str) -> UnknownVersion:
        stored = {
            entry.name
            for entry in (self._models / classifier).glob("[0-9]*")
            if entry.name.isascii() and entry.name.isdigit()
        }
        live = {model.model.version for model in self._live()[classifier].models}
        newest = sorted(stored | live, key=int, reverse=True)[:NAMED_VERSIONS]
        return UnknownVersion(
            f"a retained version of {classifier}",
            came=version,
            do=f"name one of {', '.join(newest)}",
        )
