"""Is a program ready? Asked of the program itself, not of its supervisor."""

from __future__ import annotations

import json
import urllib.request

from core.embedded import holders
from core.settings import Settings
from flows.programs import Program


def is_ready(settings: Settings, program: Program, pid: int) -> bool:
    """True when the program does its work; `pid` is the one its supervisor knows."""
    if program.name == "postgres":
        return pid in holders(settings.home / "postgres")
    if program.name == "runner":
        return runner_polls(settings)
    return answers(f"{program.url}{program.health}")


def answers(url: str, *, timeout: float = 2.0) -> bool:
    """True for a 200 within `timeout` seconds."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status == 200
    except OSError:
        return False


def runner_polls(settings: Settings) -> bool:
    """True when every served deployment was polled within the last minute: Prefect calls it ready then."""
    request = urllib.request.Request(
        f"{settings.prefect_url}/api/deployments/filter", data=b"{}", headers={"content-type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            deployments = json.load(answer)
    except OSError:
        return False
    served = [deployment for deployment in deployments if "perennial" in deployment["tags"]]
    return bool(served) and all(deployment["status"] == "READY" for deployment in served)
