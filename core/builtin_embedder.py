"""The handle of the embedder that is built from a wheel: params and stages name it."""

from __future__ import annotations

USE = "universal-sentence-encoder-multilingual-3"
