"""Remembers what the running programs were started with, so that `up` notices changed settings."""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.settings import Settings
from machine.programs import list_programs
from machine.supervision import render_configuration, supervisor_folder


def settings_changed(settings: Settings) -> bool:
    """Return True when the programs were started with other settings than these."""
    path = _file(settings)
    started_with = path.read_text() if path.is_file() else ""
    return started_with != _fingerprint(settings)


def remember_settings(settings: Settings) -> None:
    """Store the fingerprint of the settings that the programs are started with."""
    _file(settings).write_text(_fingerprint(settings))


def _fingerprint(settings: Settings) -> str:
    """Return a hash that changes with anything the programs depend on when they start."""
    secrets = (
        settings.database_url,
        settings.prefect_database_url,
        settings.mlflow_database_url,
        settings.source_url,
        *settings.sources.values(),
    )
    parts = [
        str(settings.model_dump()),
        render_configuration(settings, list_programs(settings)),
        _params_text(settings),
        *(secret.get_secret_value() if secret else "-" for secret in secrets),
    ]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _params_text(settings: Settings) -> str:
    """Return params.yaml: a new block needs deployments of its own."""
    path = settings.repository / "params.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _file(settings: Settings) -> Path:
    return supervisor_folder(settings) / "started-with"
