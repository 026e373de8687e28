"""Edits the blocks of params.yaml as text: every comment and every other line stays."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from core.errors import ParamsError
from core.params.lines import KEYS, expand_lines, is_short
from core.params.schema import Params, load_params

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
    text = with_own_block(text, name)
    mapping = _classifiers(text)
    if len(mapping.value) == 1:
        raise ParamsError(
            "another classifier in params.yaml",
            came=f"{name} alone",
            do="add the next classifier before you remove this one",
        )
    key, value = _entry(mapping, name)
    lines = text.splitlines()
    return _checked([*lines[: key.start_mark.line], *lines[_last_line(value) + 1 :]])


def set_head(text: str, name: str, settings: Mapping[str, float | int]) -> str:
    """Return the text with other settings in the head of a block; its kind stays.

    Raises `ParamsError` when that would change another block too: both share it by an alias.
    """
    text = with_own_block(text, name)
    params = read_params(text)
    head = params.classifier(name).head
    expected = {key: block.head.model_dump() for key, block in params.classifiers.items()}
    expected[name].update(settings)
    for key, value in settings.items():
        text = _set_setting(text, name, key, value, kind=head.kind)
    edited = read_params(text).classifiers
    if {key: block.head.model_dump() for key, block in edited.items()} != expected:
        raise ParamsError(
            f"a block of {name} with a head of its own", came="one shared by an alias", do=BY_HAND
        )
    return text


def with_own_block(text: str, name: str) -> str:
    """Return the text with a block of its own for a line; the same text for any other name."""
    if _value_of(_classifiers(text), name) is not None:
        return text
    line = read_params(text).classifier(name).line
    return text if line is None else write_lines(text, line.of)


def write_lines(text: str, question: str) -> str:
    """Return the text with one block per line in place of a block with `by` and `lines`.

    The comments of the block stay in each, unless it is in braces or has an anchor. Lines that are
    written out already stay as they are.
    """
    block = yaml.safe_load(text)["classifiers"].get(question)
    if not is_short(block):
        return text

    key, value = _entry(_classifiers(text), question)
    expanded = expand_lines({question: block})
    lines = text.splitlines()
    own_lines = lines[key.start_mark.line : _last_line(value) + 1]

    if value.flow_style or any("&" in line for line in own_lines):
        indent = " " * key.start_mark.column
        parts = [_written(name, own, indent) for name, own in expanded.items()]
    else:
        parts = [_copied(lines, key, value, name, own["line"]) for name, own in expanded.items()]

    after = lines[_last_line(value) + 1 :]
    edited = _checked([*lines[: key.start_mark.line], *chain(*parts), *after])
    if read_params(edited) != read_params(text):
        raise ParamsError(f"a block per line of {question}", came="one that differs", do=BY_HAND)
    return edited


def _copied(
    lines: list[str],
    key: yaml.ScalarNode,
    value: yaml.MappingNode,
    name: str,
    line: Mapping[str, str],
) -> list[str]:
    """Return the block's own lines under another name, with `line` for `by` and `lines`."""
    left_out = {
        number
        for own, node in value.value
        if own.value in KEYS
        for number in range(own.start_mark.line, _last_line(node) + 1)
    }
    numbers = range(key.start_mark.line + 1, _last_line(value) + 1)
    body = [lines[number] for number in numbers if number not in left_out]
    shown = yaml.safe_dump(line, default_flow_style=True, allow_unicode=True, sort_keys=False)
    indent = " " * value.value[0][0].start_mark.column
    head = lines[key.start_mark.line].replace(key.value, name, 1)
    return [head, f"{indent}line: {shown.strip()}", *body]


def _set_setting(text: str, name: str, key: str, value: float, *, kind: str) -> str:
    shown = yaml.safe_dump([value], default_flow_style=True).strip()[1:-1]
    block = _value_of(_classifiers(text), name)
    head = _value_of(block, "head")
    if head is None:
        return _insert(text, block, "head", f"{{kind: {kind}, {key}: {shown}}}")
    if isinstance(head, yaml.ScalarNode):
        return _replace(text, head, f"{{kind: {kind}, {key}: {shown}}}")
    present = _value_of(head, key)
    return _insert(text, head, key, shown) if present is None else _replace(text, present, shown)


def _value_of(mapping: yaml.MappingNode, name: str) -> Any:
    """Return the node of a key's value, None when the mapping lacks the key."""
    return next((value for key, value in mapping.value if key.value == name), None)


def _entry(mapping: yaml.MappingNode, name: str) -> tuple[yaml.ScalarNode, Any]:
    """Return the nodes of a key that the mapping has, and of its value."""
    return next((key, value) for key, value in mapping.value if key.value == name)


def _replace(text: str, node: yaml.Node, shown: str) -> str:
    return text[: node.start_mark.index] + shown + text[node.end_mark.index :]


def _insert(text: str, mapping: yaml.MappingNode, key: str, shown: str) -> str:
    """Add a key at the end of a mapping, in braces or with one key per line."""
    if mapping.flow_style:
        end = mapping.end_mark.index - 1
        return f"{text[:end]}, {key}: {shown}{text[end:]}"
    indent = " " * mapping.value[0][0].start_mark.column
    lines = text.splitlines()
    lines.insert(_last_line(mapping) + 1, f"{indent}{key}: {shown}")
    return "\n".join(lines) + "\n"


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
