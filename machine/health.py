"""Is a program ready? Asked of the program itself, not of its supervisor."""

from __future__ import annotations

from core.embedded import holders
from core.settings import Settings
from machine.environment import TAG
from machine.local_http import answers, ask
from machine.programs import Program, further_services


def is_ready(settings: Settings, program: Program, pid: int) -> bool:
    """True when the program does its work; `pid` is the one its supervisor knows."""
    if program.name == "postgres":
        return pid in holders(settings.home / "postgres")
    if program.name == "runner":
        return runner_polls(settings)
    every = (program, *further_services(settings)) if program.name == "service" else (program,)
    return all(answers(f"{one.url}{one.health}") for one in every)


def runner_polls(settings: Settings) -> bool:
    """True when every served deployment was polled within the last minute: Prefect calls it ready then."""
    url, ours = (
        f"{settings.prefect_url}/api/deployments/filter",
        {"deployments": {"tags": {"all_": [TAG]}}, "sort": "CREATED_DESC"},
    )
    served: list[dict[str, str]] = []
    while page := ask(url, body={**ours, "offset": len(served)}):  # 200 at once
        served += page
    return (
        page == []
        and bool(served)
        and all(deployment["status"] == "READY" for deployment in served)
    )
