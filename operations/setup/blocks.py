"""Edits the blocks of params.yaml as text: every comment and every other line stays."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from core.errors import ParamsError
from core.params import Params, load_params

BY_HAND = "edit params.yaml by hand"


def add_block(text: str, name: str, block: dict[str, Any]) -> str:
    """Return the text with a block after the last one. Raises `ParamsError` for a name in use."""
    mapping = _classifiers(text)
    names = [key.value for key, _ in mapping.value]
    if name in names:
        raise ParamsError(
            "a name that no classifier has", came=name, do=f"choose another, or {BY_HAND}"
        )
    indent = " " * mapping.value[0][0].start_mark.column
    lines = text.splitlines()
    end = _last_line(mapping) + 1
    return _checked([*lines[:end], *_written(name, block, indent), *lines[end:]])


def remove_block(text: str, name: str) -> str:
    """Return the text without the block. Raises `ParamsError` for the only one."""
    mapping = _classifiers(text)
    if len(mapping.value) == 1:
        raise ParamsError(
            "another classifier in params.yaml",
            came=f"{name} alone",
            do="add the next classifier before you remove this one",
        )
    key, value = next((key, value) for key, value in mapping.value if key.value == name)
    lines = text.splitlines()
    return _checked([*lines[: key.start_mark.line], *lines[_last_line(value) + 1 :]])


def _classifiers(text: str) -> yaml.MappingNode:
    root = yaml.compose(text)
    blocks: yaml.MappingNode = next(
        value for key, value in root.value if key.value == "classifiers"
    )
    if blocks.flow_style:
        raise ParamsError(
            "`classifiers:` with one block per line", came="a mapping in braces", do=BY_HAND
        )
    return blocks


def _last_line(node: yaml.Node) -> int:
    """Return the line on which the node's last value ends; a block's own mark lies beyond it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    mark = node.end_mark
    return int(mark.line if mark.column else mark.line - 1)


def _written(name: str, block: dict[str, Any], indent: str) -> list[str]:
    """Return a block with one line per key, as the other blocks are written."""
    lines = [f"{indent}{name}:"]
    for key, value in block.items():
        shown = yaml.safe_dump(
            value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1000
        )
        lines.append(f"{indent}  {key}: {shown.removesuffix('...' + chr(10)).strip()}")
    return lines


def _checked(lines: list[str]) -> str:
    """Return the lines as a text that Perennial reads."""
    text = "\n".join(lines) + "\n"
    read_params(text)
    return text


def read_params(text: str) -> Params:
    """Return the text of a params.yaml as params. Raises `ParamsError`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return load_params(path)
