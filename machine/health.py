"""Asks programs whether they are ready: the programs themselves, not their supervisor."""

from __future__ import annotations

import time

from core.embedded import holders
from core.settings import Settings
from machine.environment import TAG
from machine.local_http import answers, ask
from machine.ports import stranger_at
from machine.programs import Program, evidently_workspace, further_services

SEEN_WITHIN = 30.0
"""Seconds after which Evidently's page shows a report that was written."""


def is_ready(settings: Settings, program: Program, pid: int) -> bool:
    """Return True when the program does its work; `pid` is the one that its supervisor knows."""
    if program.name == "postgres":
        return pid in holders(settings.home / "postgres")
    if program.name == "runner":
        return runner_polls(settings)
    is_service = program.name == "service"
    servers = (program, *further_services(settings)) if is_service else (program,)
    return all(
        answers(f"{server.url}{server.health}") and not stranger_at(settings, server, pid)
        for server in servers
    )


def misses_reports(settings: Settings) -> bool:
    """Return True when Evidently's page does not know the newest report.

    The thread that looks for reports may have died while the page still answers.
    """
    latest = time.time() - SEEN_WITHIN
    written = [
        (file.stat().st_mtime, file)
        for file in evidently_workspace(settings).glob("*/snapshots/*.json")
        if file.stat().st_mtime < latest
    ]
    if not written:
        return False
    _, newest = max(written)
    project = newest.parent.parent.name
    url = f"{settings.evidently_url}/api/projects/{project}/{newest.stem}/metadata"
    return not answers(url)


def runner_polls(settings: Settings) -> bool:
    """Return True when every deployment is ready: the runner polled it within the last minute."""
    url = f"{settings.prefect_url}/api/deployments/filter"
    query = {"deployments": {"tags": {"all_": [TAG]}}, "sort": "CREATED_DESC"}
    deployments: list[dict[str, str]] = []
    while page := ask(url, body={**query, "offset": len(deployments)}):  # 200 rows per page
        deployments += page
    complete = page == []  # None: a page did not arrive
    ready = all(deployment["status"] == "READY" for deployment in deployments)
    return complete and bool(deployments) and ready
