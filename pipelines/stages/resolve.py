"""Stage `resolve`: writes params.yaml with its defaults as one small file per concern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.files import write_json
from core.params.file import read_params_file
from core.params.heads import Head
from core.params.lines import refuse_short_blocks
from core.params.schema import ClassifierParams, Params, load_params
from pipelines.stages.files import SPEC


def run() -> None:
    """Read params.yaml; write build/spec/. Each later stage depends on its own file only."""
    file = Path("params.yaml")
    params = load_params(file)
    refuse_short_blocks(read_params_file(file)["classifiers"])
    for path, content in specs(params).items():
        write_json(SPEC / path, content)


def specs(params: Params) -> dict[str, dict[str, Any]]:
    """Return file below build/spec -> content."""
    files: dict[str, dict[str, Any]] = {
        "embedder.json": params.embedder.model_dump(),
        "checks.json": _checks(params),
    }
    for key, block in params.classifiers.items():
        files[f"{key}/split.json"] = _split(block, params.seed)
        files[f"{key}/head.json"] = _head(block, params.seed)
        files[f"{key}/costs.json"] = block.costs.model_dump()
        files[f"{key}/compare.json"] = _compare(block, params.seed)
        files[f"{key}/abstain.json"] = block.abstain.model_dump() if block.abstain else {}
        files[f"{key}/self_training.json"] = _self_training(block)
        files[f"{key}/errors.json"] = block.errors.model_dump()
        files[f"{key}/bias.json"] = block.bias.model_dump()
    return files


def _head(block: ClassifierParams, seed: int) -> dict[str, Any]:
    """Return the head's settings; `rules` and `line` only where there are any.

    The file of a head without them stays what it is.
    """
    rules = {"rules": [rule.model_dump() for rule in block.rules]} if block.rules else {}
    return {**block.head.model_dump(), "seed": seed, **_favour(block), **rules, **_line(block)}


def _line(block: ClassifierParams) -> dict[str, Any]:
    return {"line": block.line.model_dump()} if block.line else {}


def _self_training(block: ClassifierParams) -> dict[str, Any]:
    """Return the block with the refusals of the classifier, which join nothing; {} when off."""
    if block.self_training is None:
        return {}
    abstain = block.abstain.model_dump() if block.abstain else {}
    return {**block.self_training.model_dump(), "abstain": abstain}


def _favour(block: ClassifierParams) -> dict[str, Any]:
    """Return the key `favour`; nothing by default, so that older files stay what they are."""
    return {} if block.favour == "weighted" else {"favour": block.favour}


def _compare(block: ClassifierParams, seed: int) -> dict[str, Any]:
    """Return each head once, by a name of its own, without the chosen one, which `train` fits."""
    heads = {_name(head): head.model_dump() for head in block.compare if head != block.head}
    return {"chosen": _name(block.head), "heads": heads, "seed": seed, **_favour(block)}


def _name(head: Head) -> str:
    """Return the kind and what differs from its defaults: `logistic`, `logistic C=3.0`."""
    changed = head.model_dump(exclude={"kind"}, exclude_defaults=True)
    return " ".join([head.kind, *(f"{key}={value}" for key, value in changed.items())])


def _checks(params: Params) -> dict[str, Any]:
    datasets = {
        dataset: {"label_columns": _label_columns(blocks), **_lines(blocks)}
        for dataset, blocks in params.datasets().items()
    }
    return {**params.checks.model_dump(), "datasets": datasets}


def _label_columns(blocks: dict[str, ClassifierParams]) -> dict[str, int]:
    """Return label column -> the smallest `min_rows_per_label` among its classifiers."""
    columns: dict[str, int] = {}
    for block in blocks.values():
        least = columns.get(block.source.label, block.min_rows_per_label)
        columns[block.source.label] = min(least, block.min_rows_per_label)
    return columns


def _lines(blocks: dict[str, ClassifierParams]) -> dict[str, Any]:
    """Return each line's classifier with its label column; nothing for a data set without lines."""
    lines = {
        name: {"label": block.source.label, **block.line.model_dump()}
        for name, block in blocks.items()
        if block.line
    }
    return {"lines": lines} if lines else {}


def _split(block: ClassifierParams, seed: int) -> dict[str, Any]:
    shared = block.model_dump(include={"test_days", "min_rows_per_label"})
    shared["history_days"] = block.fixed_history_days
    source = {"dataset": block.source.dataset, "label": block.source.label}
    return {**shared, **source, **_line(block), "seed": seed}
