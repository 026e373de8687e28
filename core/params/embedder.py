"""The `embedder` block of params.yaml."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from core.builtin_embedder import USE
from core.params.heads import StrictBlock


class EmbedderParams(StrictBlock):
    """The model that turns a phrase into a vector."""

    handle: str = USE
    """The built-in Universal Sentence Encoder, a TF-Hub handle, or the path of a SavedModel."""

    runtime: Literal["tensorflow", "litert"] = "litert"
    """The runtime of training and serving.

    `litert` runs the built-in encoder with int8 products and without TensorFlow; `tensorflow` runs
    every handle. The default is the first of them that can run the handle.
    """

    @model_validator(mode="before")
    @classmethod
    def _runtime_follows_handle(cls, block: Any) -> Any:
        is_foreign = isinstance(block, dict) and block.get("handle", USE) != USE
        return {"runtime": "tensorflow", **block} if is_foreign else block

    @model_validator(mode="after")
    def _runtime_fits(self) -> EmbedderParams:
        if self.runtime == "litert" and self.handle != USE:
            raise ValueError(
                f"runtime litert runs {USE} only; set runtime: tensorflow for {self.handle}"
            )
        return self
