"""Lists of commands in groups and with whole lines, and the version."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

GROUPS: Mapping[str, Sequence[str]] = {
    "Start and look": (
        "demo",
        "up",
        "down",
        "status",
        "console",
        "open",
        "logs",
        "doctor",
        "notify",
    ),
    "Train": (
        "new",
        "remove",
        "lines",
        "snapshot",
        "retrain",
        "history",
        "suspects",
        "labels",
        "tune",
        "simulate",
        "watch",
        "remember",
    ),
    "Decide": ("rollout",),
    "Ask and correct": (
        "classify",
        "answers",
        "quality",
        "performance",
        "queue",
        "feedback",
        "pins",
    ),
    "Explain": ("explain", "errors", "cards", "lineage", "reproduce", "replay"),
    "Serve": ("serve", "keys", "users", "loadtest", "advise"),
}
OTHER = "Commands"


class WholeLines(TyperGroup):
    """A group of commands whose help shows the whole first paragraph of each command."""

    groups: Mapping[str, Sequence[str]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by group; those that no group names come last."""
        width = max(map(len, self.commands))
        for title, names in by_group(list(self.commands), self.groups).items():
            rows = [
                (name.ljust(width), first_paragraph(self.commands[name].help)) for name in names
            ]
            with formatter.section(title):
                formatter.write_dl(rows)


def by_group(commands: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return group -> its commands, in the order of the groups."""
    listed = {
        title: [name for name in names if name in commands] for title, names in groups.items()
    }
    named = {name for names in listed.values() for name in names}
    listed[OTHER] = [name for name in commands if name not in named]
    return {title: names for title, names in listed.items() if names}


def first_paragraph(help_text: str | None) -> str:
    """Return the first paragraph of a command's help, as one line."""
    paragraph = (help_text or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.split())


def version() -> str:
    """Return the version of this checkout: Perennial runs from its repository."""
    from core.settings import REPOSITORY

    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])
