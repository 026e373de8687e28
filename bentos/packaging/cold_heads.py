"""The versions packed beside a service, which answer until it has read the database."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.contracts import ModelVersion

COLD_FILE = "heads.json"


def read_cold_heads(folder: Path) -> list[ModelVersion]:
    """Return the packed versions, with absolute locations; none when there is no list."""
    listed = folder / COLD_FILE
    if not listed.exists():
        return []
    packed = msgspec.json.decode(listed.read_bytes(), type=list[ModelVersion])
    return [_absolute(model, folder) for model in packed]


def write_cold_heads(folder: Path, models: list[ModelVersion]) -> None:
    """List packed versions; `head_location` is relative to the folder."""
    (folder / COLD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(models), indent=2))


def _absolute(model: ModelVersion, folder: Path) -> ModelVersion:
    return ModelVersion(
        model.classifier,
        model.version,
        str(folder / model.head_location),
        model.head_digest,
        model.embedder_id,
    )
