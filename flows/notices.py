"""What people are notified of: decisions that need them, and a machine that runs out of room."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.settings import Settings
from flows.pages.artifacts import artifact_key
from machine.journals import waiting_rows

TITLES = {
    ("drift", "drift"): "the traffic drifts, a retraining follows",
    ("drift", "needs_labels"): "the traffic drifts, and labels are wanted",
    ("gate", "reject"): "version {version} is rejected",
    ("gate", "hold"): "version {version} waits for a person",
    ("retraining", "failed"): "it could not be trained",
    ("rollout", "refuse"): "the service refuses version {version}",
}
"""(subject, kind) of a decision -> what its notice says first."""
LOW_DISK = 2 * 2**30
"""Bytes; a retraining needs about half of that."""
JOURNAL_SHARE = 0.25
"""Of PERENNIAL_JOURNAL_MB; a journal that reaches the database holds a few megabytes."""
MEGABYTE = 2**20


@dataclass(frozen=True)
class Notice:
    """A message to people. Equal keys are the same matter, which is sent once."""

    key: str
    classifier: str
    title: str
    body: str


def decision_notice(row: Mapping[str, Any], settings: Settings) -> Notice:
    """Return the notice of a row of `decision` whose subject and kind are in TITLES."""
    classifier = row["classifier"]
    version = row["evidence"].get("version", "")
    title = TITLES[row["subject"], row["kind"]].format(version=version)
    verdict_page = f"{settings.prefect_url}/artifacts/key/{artifact_key('verdict', classifier)}"
    page = {
        "drift": f"{settings.prefect_url}/artifacts/key/{artifact_key('drift', classifier)}",
        "gate": verdict_page,
        "retraining": verdict_page,
        "rollout": f"{settings.mlflow_url}/#/models/{classifier}/versions/{version}",
    }[row["subject"]]
    body = "\n".join([*row["reasons"], page])
    return Notice(f"decision-{row['id']}", classifier, f"{classifier}: {title}", body)


def failure_notice(flow: str, run_name: str, run_id: str, message: str, url: str) -> Notice:
    """Return the notice of a failed run."""
    page = f"{url}/runs/flow-run/{run_id}"
    return Notice(f"run-{run_id}", "", f"{flow} failed: {run_name}", f"{message}\n{page}")


def machine_notices(settings: Settings) -> dict[str, Notice | None]:
    """Return what the machine lacks now, by key; None where it lacks nothing."""
    return {"disk": _disk(settings), "journal": _journal(settings)}


def _disk(settings: Settings) -> Notice | None:
    free = shutil.disk_usage(settings.home).free
    if free >= LOW_DISK:
        return None
    body = (
        f"{free / 2**30:.1f} GB are free in {settings.home}, and {LOW_DISK / 2**30:.0f} GB are "
        "wanted: free some, or move PERENNIAL_HOME"
    )
    return Notice("disk", "", "the disk is nearly full", body)


def _journal(settings: Settings) -> Notice | None:
    megabytes = waiting_rows(settings).size / MEGABYTE
    limit = settings.journal_mb * JOURNAL_SHARE
    if megabytes <= limit:
        return None
    body = (
        f"{megabytes:.0f} MB of answers wait for the database, of {settings.journal_mb} MB that "
        f"fit: see {settings.service_url}/metrics, perennial_journal_rows"
    )
    return Notice("journal", "", "the journal grows", body)
