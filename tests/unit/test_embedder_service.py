from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np

from bentos.embedder.cache import EmbeddingCache
from bentos.embedder.server import _send_vectors
from tests.support.embedders import vector_of


def test_what_is_known_is_sent_before_the_rest_is_computed() -> None:
    release = threading.Event()

    def slow(cleaned: Sequence[str]) -> np.ndarray:
        assert "new" not in cleaned or release.wait(60)
        return np.stack([vector_of(text) for text in cleaned])

    async def run() -> list[MutableMapping[str, Any]]:
        cache = EmbeddingCache(slow, embedder_id="tiny", maximum=10)
        sent = []
        half = asyncio.Event()

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)
            if message.get("more_body"):
                half.set()

        await cache.compute(["a", "b"])
        sending = asyncio.create_task(_send_vectors(cache, ["b", "new", "a"], send))
        await asyncio.wait_for(half.wait(), 60)
        assert not sending.done()
        release.set()
        await sending
        return sent

    start, known, rest = asyncio.run(run())
    assert dict(start["headers"])[b"x-hits"] == b"101"
    assert known["body"] == vector_of("b").tobytes() + vector_of("a").tobytes()
    assert rest["body"] == vector_of("new").tobytes()
