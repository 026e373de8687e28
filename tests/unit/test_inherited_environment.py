"""No variable that a dependency documents reaches our programs from the user's shell."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.inherited_environment import DESKTOP, inherited, keep_inherited
from core.settings import load_settings
from machine.programs import list_programs

GIT = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT"),
    *("GIT_TEMPLATE_DIR", "GIT_SSH_COMMAND", "GIT_AUTHOR_NAME", "GIT_CEILING_DIRECTORIES"),
)
SERVERS = (
    *("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "UVICORN_PORT", "UVICORN_HOST", "UVICORN_WORKERS"),
    *("GUNICORN_CMD_ARGS", "LITESTAR_APP", "FLASK_APP", "FLASK_ENV"),
)
LIBRARIES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "KERAS_BACKEND", "KERAS_HOME"),
    *("TF_XLA_FLAGS", "TF_DETERMINISTIC_OPS", "TF_USE_LEGACY_KERAS", "TFHUB_CACHE_DIR"),
    *("SQLALCHEMY_WARN_20", "ALEMBIC_CONFIG", "PIP_INDEX_URL", "PIP_CONFIG_FILE"),
    *("DO_NOT_TRACK", "EVIDENTLY_API_KEY", "GX_CLOUD_ACCESS_TOKEN", "GX_HOME"),
)
OF_MACHINE = {
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "SSL_CERT_FILE"),
    *("REQUESTS_CA_BUNDLE", "https_proxy", "HTTPS_PROXY", "no_proxy", "PERENNIAL_HOME"),
}


def prefect_variables() -> set[str]:
    """Every name of every setting, older and newer."""
    folder = Path(importlib.import_module("prefect").__file__ or "").parent / "settings"
    text = "".join(
        file.read_text(encoding="utf-8", errors="replace") for file in folder.rglob("*.py")
    )
    names = {match.upper() for match in re.findall(r"\bprefect_[a-z_]+", text)}
    return (
        names
        | set(re.findall(r"\bPREFECT_[A-Z_]+", text))
        | {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL",
            "PREFECT_API_DATABASE_CONNECTION_URL",
            "PREFECT_SERVER_API_BASE_PATH",
            "PREFECT_PROFILES_PATH",
        }
    )


def mlflow_variables() -> set[str]:
    from mlflow import environment_variables

    return {
        variable.name
        for variable in vars(environment_variables).values()
        if isinstance(variable, environment_variables._EnvironmentVariable)
    } - {*OF_MACHINE, "AWS_CA_BUNDLE"}


def words_of(package: str, pattern: str) -> set[str]:
    """The variables that stand in the source of a package."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    return {
        name
        for file in folder.rglob("*.py")
        for name in re.findall(pattern, file.read_text(encoding="utf-8", errors="replace"))
    }


def postgres_variables() -> set[str]:
    from psycopg.pq import Conninfo

    options = {option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    return options - {"PGPASSFILE", "PGSERVICEFILE", "PGPASSWORD"}


def python_variables() -> set[str]:
    command = [sys.executable, "--help-env"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r"\bPYTHON[A-Z]+\b", done.stdout))


def poison() -> dict[str, str]:
    names = (
        prefect_variables()
        | mlflow_variables()
        | words_of("bentoml", r"[\"'](BENTOML_[A-Z_]+)[\"']")
        | words_of("dvc", r"[\"'](DVC_[A-Z_]+)[\"']")
        | words_of("opentelemetry.sdk", r"[\"'](OTEL_[A-Z_]+)[\"']")
        | postgres_variables()
        | python_variables()
        | {*GIT, *SERVERS, *LIBRARIES}
    )
    return dict.fromkeys(sorted(names), "poison")


def test_no_documented_variable_of_a_dependency_is_inherited() -> None:
    poisoned = poison()
    assert len(poisoned) > 500, "the dependencies still name their variables as they did"
    assert inherited(poisoned, credentials=True) == {}


def test_the_machine_and_our_own_settings_are_inherited() -> None:
    environment = dict.fromkeys(OF_MACHINE, "x")
    assert inherited(environment, credentials=False) == environment


@pytest.mark.parametrize(
    "name",
    [
        *("PGPASSFILE", "PGSERVICEFILE", "AWS_PROFILE", "AZURE_CLIENT_ID", "SSH_AUTH_SOCK"),
        *("PERENNIAL_NOTIFY", "PERENNIAL_SOURCES"),
    ],
)
def test_credentials_reach_only_the_programs_that_use_them(name: str) -> None:
    assert inherited({name: "x"}, credentials=True) == {name: "x"}
    assert inherited({name: "x"}, credentials=False) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("PGPASSFILE", "AWS_SECRET_ACCESS_KEY", "PERENNIAL_SOURCE_URL"),
        *("PERENNIAL_NOTIFY", "PERENNIAL_SOURCES"),
    ],
)
def test_a_launched_program_gets_no_credentials(name: str) -> None:
    code = "import os, sys; print(os.environ.get(sys.argv[1]), os.environ['MARK'])"
    done = subprocess.run(
        [sys.executable, "-m", "machine.launch", sys.executable, "-c", code, name],
        env={"PATH": os.environ["PATH"], "MARK": "kept", name: "secret"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", "kept"]


def test_only_the_runner_gets_credentials(tmp_home: Path) -> None:
    programs = list_programs(load_settings(home=tmp_home, database_url=None))
    assert [program.name for program in programs if program.credentials] == ["runner"]
    for program in programs:
        assert ("machine.launch" in program.command) is not program.credentials


def test_this_process_keeps_nothing_else() -> None:
    environment = {**poison(), "PATH": os.environ["PATH"], "PGPASSFILE": "f"}
    keep_inherited(environment)
    assert environment == {"PATH": os.environ["PATH"], "PGPASSFILE": "f"}


def test_who_commits_is_set_aside_for_the_commits_of_the_user() -> None:
    of_commits = {"GIT_AUTHOR_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@localhost", "GPG_TTY": "t"}
    environment = {**of_commits, "GIT_DIR": "elsewhere", "PATH": os.environ["PATH"]}
    assert keep_inherited(environment) == of_commits
    assert environment == {"PATH": os.environ["PATH"]}


def test_the_command_keeps_the_desktop_and_programs_inherit_none_of_it() -> None:
    desktop = dict.fromkeys(DESKTOP, "x")
    environment = {**desktop, "PATH": os.environ["PATH"]}
    keep_inherited(environment)
    assert environment.items() >= desktop.items()
    assert inherited(environment, credentials=True) == {"PATH": os.environ["PATH"]}


def test_open_starts_the_browser_of_the_desktop(tmp_home: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PERENNIAL_HOME": str(tmp_home),
        "BROWSER": "/bin/echo browser %s",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "open", "mlflow"],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    opened, address = done.stdout.splitlines()
    assert opened == f"browser {address}"


def test_a_locale_that_is_not_installed_becomes_one_that_is() -> None:
    code = (
        "import os, locale; from core.inherited_environment import keep_inherited;"
        "keep_inherited(os.environ); locale.setlocale(locale.LC_ALL, '');"
        "print({name: value for name, value in os.environ.items() if name[:2] in ('LA', 'LC')})"
    )
    environment = {"PATH": os.environ["PATH"], "LANG": "xx_YY.UTF-8", "LC_TIME": "zz_ZZ"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "{'LC_ALL': 'C.UTF-8'}"
