"""The command blocks of README.md and docs/, and where each of them is run.

tests/e2e/test_the_docs.py (`make test-slow`) runs a block in the place where the small demo was
played. A block that takes too long for that is named in ELSEWHERE with what runs its commands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.repositories import ROOT

ELSEWHERE = {
    ("README.md", "make demo"): {
        "make demo": (".ci/run", "make demo"),
        "make test": (".ci/run", "make test"),
    },
}
"""File and first command of a block: for each command, the file that runs it and the text there."""
SAYS_NO = re.compile(r"^(\S*/)?perennial (retrain|watch|reproduce)\b")
"""Commands that may end with 3: a verdict said no."""


@dataclass(frozen=True)
class Block:
    """One fenced `sh` block. `file` is relative to the repository."""

    file: str
    line: int
    lines: tuple[str, ...]

    @property
    def first(self) -> str:
        return command(self.lines[0])

    @property
    def elsewhere(self) -> bool:
        return (self.file, self.first) in ELSEWHERE

    def script(self, replaced: dict[str, str]) -> str:
        """The block for `bash -e`, with example addresses and files replaced by real ones."""
        text = "\n".join(
            f"{line.partition('  #')[0]} || [ $? -eq 3 ]" if SAYS_NO.match(line) else line
            for line in self.lines
        )
        for example, real in replaced.items():
            text = text.replace(example, real)
        return f"set -euo pipefail\n{text}\n"


def command(line: str) -> str:
    """A line without its comment."""
    return line.partition("  #")[0].strip()


def blocks(root: Path = ROOT) -> list[Block]:
    """Every `sh` block, unindented; README first, then the pages by name."""
    return [
        block
        for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
        for block in blocks_of(path, root)
    ]


def blocks_of(path: Path, root: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    blocks: list[Block] = []
    for match in re.finditer(
        r"^( *)```(?:sh|bash|shell|console)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL
    ):
        lines = tuple(line.removeprefix(match[1]) for line in match[2].splitlines())
        line = text[: match.start()].count("\n") + 1
        blocks.append(Block(str(path.relative_to(root)), line, lines))
    return blocks
