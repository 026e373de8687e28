"""The programs of `up`, their ports, and the configuration of their supervisor."""

from __future__ import annotations

import configparser
import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from core.errors import PortTaken, SettingsError
from core.settings import Settings, load_settings
from machine.ports import check_ports, refuse_stranger, stranger_at
from machine.programs import list_programs, newest_bento
from machine.startup import tail
from machine.supervision import render_configuration, socket_file
from tests.support.places import free_ports, own_place


@pytest.fixture
def settings(tmp_home: Path) -> Settings:
    return load_settings(home=tmp_home, database_url=None)


def names(settings: Settings) -> list[str]:
    return [program.name for program in list_programs(settings)]


def test_postgres_is_ours_only_without_a_url_of_yours(settings: Settings) -> None:
    yours = settings.model_copy(
        update={"database_url": load_settings(database_url="postgresql://db/x").database_url}
    )
    assert "postgres" in names(settings)
    assert names(yours) == [name for name in names(settings) if name != "postgres"]


def test_every_port_of_the_settings_is_bound_on_the_host(settings: Settings) -> None:
    ports = {program.setting: program.port for program in list_programs(settings) if program.port}
    assert ports == {
        "PERENNIAL_PREFECT_PORT": 4200,
        "PERENNIAL_MLFLOW_PORT": 5000,
        "PERENNIAL_EVIDENTLY_PORT": 8000,
        "PERENNIAL_CONSOLE_PORT": 8500,
        "PERENNIAL_SERVICE_PORT": 3000,
    }


def test_the_needs_of_a_program_are_programs(settings: Settings) -> None:
    for program in list_programs(settings):
        assert set(program.needs) < set(names(settings))


def test_no_secret_is_written(tmp_home: Path) -> None:
    settings = load_settings(
        home=tmp_home,
        database_url="postgresql://me:hunter2@db/x",
        source_url="postgresql://me:hunter3@db/y",
    )
    text = render_configuration(settings, list_programs(settings))
    assert "hunter" not in text
    assert not [
        program for program in list_programs(settings) if "hunter" in shlex.join(program.argv)
    ]


def test_the_configuration_reads_back_with_odd_paths(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "a home of 100% mine", database_url=None)
    parser = configparser.RawConfigParser()
    parser.read_string(render_configuration(settings, list_programs(settings)))
    command = parser["program:mlflow"]["command"].replace("%%", "%")
    assert str(settings.home / "mlartifacts") in shlex.split(command)
    assert parser["program:mlflow"]["stdout_logfile"].replace("%%", "%") == str(
        settings.home / "logs" / "mlflow.log"
    )


def test_the_socket_is_short_however_long_the_home_is(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a" * 40] * 4)
    near = load_settings(home=Path("/var/p"))
    far = load_settings(home=deep)
    assert socket_file(near).is_relative_to(near.home)
    assert len(os.fsencode(socket_file(far))) <= 90
    assert socket_file(far) != socket_file(load_settings(home=deep / "other"))


def test_a_taken_port_is_named_with_its_setting_and_process(tmp_home: Path) -> None:
    settings = own_place(tmp_home)
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.mlflow_port))
        other.listen()
        with pytest.raises(PortTaken) as refused:
            check_ports(settings, list_programs(settings))
    message = str(refused.value)
    assert str(settings.mlflow_port) in message
    assert "PERENNIAL_MLFLOW_PORT" in message
    assert f"pid {os.getpid()}" in message


def test_a_stranger_on_the_port_of_a_running_program_is_distinguished_from_the_program(
    tmp_home: Path,
) -> None:
    settings = own_place(tmp_home)
    [mlflow] = [row for row in list_programs(settings) if row.name == "mlflow"]
    assert stranger_at(settings, mlflow, os.getppid() + 1_000_000) == "", "nobody listens"
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.mlflow_port))
        other.listen()
        assert stranger_at(settings, mlflow, os.getpid()) == "", "it is the program itself"
        assert stranger_at(settings, mlflow, os.getppid()) == "", "its child listens"
        with subprocess.Popen(["sleep", "60"]) as program:
            assert f"pid {os.getpid()}" in stranger_at(settings, mlflow, program.pid)
            with pytest.raises(PortTaken, match="PERENNIAL_MLFLOW_PORT"):
                refuse_stranger(settings, mlflow, program.pid)
            program.kill()


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "2001:db8::1", "a..b"])
def test_a_host_that_is_not_this_machine_is_named(tmp_home: Path, host: str) -> None:
    settings = load_settings(home=tmp_home, host=host)
    with pytest.raises(SettingsError, match="PERENNIAL_HOST"):
        check_ports(settings, list_programs(settings))


def test_free_ports_pass(tmp_home: Path) -> None:
    settings = own_place(tmp_home)
    check_ports(settings, list_programs(settings))
    assert len(set(free_ports(4))) == 4


def test_the_newest_bento_is_the_one_that_bentoml_calls_latest(settings: Settings) -> None:
    assert newest_bento(settings) is None
    store = settings.home / "bentoml" / "bentos" / "perennial"
    store.mkdir(parents=True)
    store.joinpath("latest").write_text("20260101t000000-abc\n")
    assert newest_bento(settings) == store / "20260101t000000-abc"


def test_the_end_of_a_log_hides_passwords(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n".join(["first"] * 50 + ["cannot reach postgresql://me:hunter2@db/x"]))
    assert "hunter2" not in tail(log)
    assert len(tail(log, lines=3).splitlines()) == 3
    assert tail(tmp_path / "none.log") == "(no log)"


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_end_of_a_log_has_as_many_whole_lines_as_asked(tmp_path: Path, end: str) -> None:
    log = tmp_path / "x.log"
    written = [f"{number} " + "ü" * 7_000 for number in range(50)]
    log.write_text("\n".join(written) + end, encoding="utf-8")
    for lines in (1, 2, 30, 50):
        assert tail(log, lines=lines).splitlines() == written[-lines:]
    assert tail(log, lines=99).splitlines() == written
