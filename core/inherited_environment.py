"""What a program inherits from the shell: this machine and `PERENNIAL_*`, never another project.

Every dependency reads variables of its own. One that the user exported for another project would
send runs, rows or credentials elsewhere, so a list says what passes.
"""

from __future__ import annotations

import locale
from collections.abc import Mapping, MutableMapping

MACHINE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV"),
        *("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"),
        *("LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TMP", "TEMP"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH"),
        *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    }
)
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"})
"""Programs read them in upper and in lower case."""
MACHINE_FAMILIES = ("LC_", "XDG_", "PERENNIAL_", "COVERAGE_PROCESS_")
"""The last one measures the tests' own processes."""
DESKTOP = frozenset(
    {
        *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"),
        *("BROWSER", "DBUS_SESSION_BUS_ADDRESS"),
    }
)
"""What opens a browser: the command alone keeps it, and no program inherits it."""
COMMITS = frozenset(
    {
        *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
        *("EMAIL", "GPG_TTY", "GNUPGHOME"),
    }
)
"""Who commits and how it is signed: for a commit of the user's own, and for no other git."""
CREDENTIALS = frozenset(
    {
        *("PGPASSFILE", "PGSERVICEFILE", "PGPASSWORD", "KRB5CCNAME", "KRB5_CONFIG"),
        *("ODBCINI", "ODBCSYSINI", "TNS_ADMIN", "ORACLE_HOME"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "SSH_AUTH_SOCK"),
        *("PERENNIAL_NOTIFY", "PERENNIAL_SOURCES"),
    }
)
CREDENTIAL_FAMILIES = ("AWS_", "AZURE_", "PERENNIAL_SOURCE_")
"""With CREDENTIALS: what opens a source, the remote of DVC or a service that takes notices."""


def inherited(environment: Mapping[str, str], *, credentials: bool) -> dict[str, str]:
    """Return the variables that a program may inherit.

    Parameters
    ----------
    credentials : whether the program reads the source or the remote of DVC, or sends notices.
    """
    return {
        name: value
        for name, value in environment.items()
        if (credentials if is_credential(name) else _is_of_machine(name))
    }


def is_credential(name: str) -> bool:
    """Return True for a variable that opens a source, a remote or a service for notices."""
    return name in CREDENTIALS or name.startswith(CREDENTIAL_FAMILIES)


def keep_inherited(environment: MutableMapping[str, str]) -> dict[str, str]:
    """Remove what a program must not inherit from this process's environment.

    The desktop's variables stay: `perennial open` starts a browser. Returns those of `COMMITS`,
    which are removed too.
    A locale that is not installed becomes C.UTF-8: PostgreSQL would not start with it.
    """
    kept = inherited(environment, credentials=True)
    of_commits = {name: value for name, value in environment.items() if name in COMMITS}
    for name in environment.keys() - kept.keys() - DESKTOP:
        del environment[name]
    if not _has_locale():
        for name in [name for name in environment if _names_locale(name)]:
            del environment[name]
        environment["LC_ALL"] = "C.UTF-8"
    return of_commits


def _is_of_machine(name: str) -> bool:
    is_proxy = name.upper() in PROXIES
    return name in MACHINE or is_proxy or name.startswith(MACHINE_FAMILIES)


def _has_locale() -> bool:
    """Return True when the locale that the environment names is installed."""
    current = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, current)
    return True


def _names_locale(name: str) -> bool:
    return name in {"LANG", "LANGUAGE"} or name.startswith("LC_")
