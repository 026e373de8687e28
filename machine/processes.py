"""`up` and `down`: all programs of one machine under one supervisor."""

from __future__ import annotations

from core.settings import Settings
from machine.environment import child_settings, flow_environment
from machine.exclusive import exclusive_home
from machine.fingerprint import remember_settings, settings_changed
from machine.ports import check_ports
from machine.programs import Program, folders, further_services, list_programs, newest_bento
from machine.shutdown import end_processes, stop_everything
from machine.startup import ALIVE, Report, bring_up
from machine.status import ProgramStatus, status
from machine.supervision import connect_supervisor, start_supervisor, supervised_processes


def up(settings: Settings, *, report: Report = print) -> list[ProgramStatus]:
    """Start what does not run yet, and return when all of it is ready.

    An interrupt stops what this call has started. Raises `SettingsError`, `PortTaken`,
    `DatabaseUnreachable`, `Busy`, or `ProcessFailed` with the end of the log of the program that
    failed.
    """
    with exclusive_home(settings):
        if connect_supervisor(settings) is not None and settings_changed(settings):
            report("the settings have changed: restarting everything")
            stop_everything(settings, report)

        starts_supervisor = connect_supervisor(settings) is None
        try:
            if starts_supervisor:
                _start_supervisor(settings, report)
            bring_up(settings, _startable(settings), report=report)
        except KeyboardInterrupt:
            if starts_supervisor:
                stop_everything(settings, report)
            raise
    return status(settings)


def down(settings: Settings, *, report: Report = print) -> list[int]:
    """Stop all that `up` started; return the ids of the processes that ended.

    PostgreSQL stays up while another command uses it, and stops with that command. Raises `Busy`
    when another `up` or `down` does not end.
    """
    with exclusive_home(settings):
        return stop_everything(settings, report)


def ensure_service(settings: Settings) -> bool:
    """Start the service where `perennial up` runs without it because there was no bento.

    Does not wait until the service is ready. Returns True when it was started.
    """
    supervisor = connect_supervisor(settings)
    if supervisor is None or supervisor.getProcessInfo("service")["statename"] in ALIVE:
        return False
    return bool(supervisor.startProcess("service", False))


def restart_service(settings: Settings, *, report: Report) -> bool:
    """Restart the service with the newest bento; return False when `perennial up` does not run.

    Raises `ProcessFailed`.
    """
    supervisor = connect_supervisor(settings)
    if supervisor is None or newest_bento(settings) is None:
        return False
    if supervisor.getProcessInfo("service")["statename"] in ALIVE:
        supervisor.stopProcess("service")
    bring_up(settings, _named("service", list_programs(settings)), report=report)
    return True


def _start_supervisor(settings: Settings, report: Report) -> None:
    """Start supervisord and PostgreSQL, after ending what a killed supervisord left behind."""
    from core.database import open_database

    end_processes(supervised_processes(settings), seconds=0)
    programs = list_programs(settings)
    check_ports(settings, (*programs, *further_services(settings)))
    for folder in folders(settings):
        folder.mkdir(parents=True, exist_ok=True)

    report("opening the database")
    with open_database(settings) as urls:
        environment = flow_environment(settings, urls, server=True) | child_settings(settings, urls)
        start_supervisor(settings, programs, environment)
        remember_settings(settings)
        # Inside the block: the program `postgres` holds the server before this command lets go.
        bring_up(settings, _named("postgres", programs), report=report)


def _startable(settings: Settings) -> list[Program]:
    """Return all programs, without the service before the first bento."""
    programs = list_programs(settings)
    if newest_bento(settings) is not None:
        return list(programs)
    return [program for program in programs if program.name != "service"]


def _named(name: str, programs: tuple[Program, ...]) -> list[Program]:
    return [program for program in programs if program.name == name]
