"""Looking for a planted secret: in files, in the text of every database, in command lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from secrets import token_hex

import psutil
import sqlalchemy as sa

PASSWORD, DATABASE_PASSWORD, TOKEN = (
    f"planted-{token_hex(8)}" for _ in range(3)
)  # new ones each time: these files are searched too
DATABASES = ("perennial", "prefect", "mlflow")


def files_with(secret: str, folders: Iterable[Path]) -> list[str]:
    """Files that hold the secret.

    The server's own folder is left to `rows_with`: its pages may be compressed.
    """
    return [
        str(path)
        for folder in folders
        for path in files_of(folder)
        if secret.encode() in path.read_bytes()
    ]


def files_of(folder: Path) -> Iterator[Path]:
    return (
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.parts[len(folder.parts)] != "postgres"
    )


def rows_with(secret: str, socket: Path) -> list[str]:
    """Tables of our three databases with the secret in any column of any row, as text."""
    found = []
    for database in DATABASES:
        engine = sa.create_engine(
            f"postgresql+psycopg://postgres@/{database}?host={socket}", poolclass=sa.NullPool
        )
        with engine.connect() as connection:
            for table in sa.inspect(connection).get_table_names():
                query = sa.text(f'select count(*) from "{table}" as r where r::text like :wanted')
                if connection.scalar(query, {"wanted": f"%{secret}%"}):
                    found.append(f"{database}.{table}")
    return found


def command_lines(secret: str, *, but: int) -> list[str]:
    """Commands as `ps` shows them to every user."""
    return [
        process.info["name"]
        for process in psutil.process_iter(["name", "cmdline", "pid"])
        if shown(process, secret, but)
    ]


def shown(process: psutil.Process, secret: str, but: int) -> bool:
    return process.info["pid"] != but and secret in " ".join(process.info["cmdline"] or ())
