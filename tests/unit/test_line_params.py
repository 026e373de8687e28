"""Blocks with one line of versions per region: read, refused, written out, split and checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from core.errors import HeadRefused, ParamsError, TrainingImpossible, UnknownClassifier
from core.params.edits import read_params, remove_block, set_head, write_lines
from core.params.schema import Params, load_params
from pipelines.checks import refusals, write_result
from pipelines.model.head_file import Line, load_head, save_head
from pipelines.stages import resolve
from pipelines.stages.check import _with_derived_columns
from pipelines.stages.labelled_rows import of_line
from pipelines.stages.line_checks import about_lines
from tests.support.heads import make_head

SHORT = """
seed: 7
classifiers:
  block:
    source: {query: queries/d.sql, label: block}
  # the question
  chapter:            # 21 labels
    source: {query: queries/d.sql, label: chapter}
    by: region        # see docs/modelling.md
    lines:
      - north
      - Île de France
    head: {kind: logistic}   # fast
  other: {source: {query: queries/o.sql, label: chapter}}
"""


def read(folder: Path, text: str) -> Params:
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return load_params(folder / "params.yaml")


def block(**keys: object) -> str:
    source = {"query": "queries/d.sql", "label": "chapter"}
    return yaml.safe_dump({"classifiers": {"chapter": {"source": source, **keys}}})


def test_a_block_by_region_is_one_classifier_per_line(tmp_path: Path) -> None:
    params = read(tmp_path, SHORT)
    assert list(params.classifiers) == ["block", "chapter_north", "chapter_ile_de_france", "other"]
    line = params.classifier("chapter_ile_de_france").line
    assert line and line.model_dump() == {"of": "chapter", "by": "region", "value": "Île de France"}
    assert params.classifier("chapter_north").head.kind == "logistic"
    assert params.named("chapter") == ["chapter_north", "chapter_ile_de_france"]
    assert params.answering("chapter", "north") == "chapter_north"
    assert params.answering("block", "north") == "block"
    with pytest.raises(UnknownClassifier, match="a line for: north, Île de France, got none"):
        params.answering("chapter", None)


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "another column": ({"by": "site", "lines": ["a"]}, "write `site as region`"),
    "no lines": ({"by": "region"}, "chapter.lines: a value"),
    "lines alone": ({"lines": ["a"]}, "chapter.by: a value"),
    "an empty list": ({"by": "region", "lines": []}, "1 or more entries"),
    "numbers": ({"by": "region", "lines": [1]}, "chapter.lines.0"),
    "one name for two": ({"by": "region", "lines": ["A b", "a-B"]}, "chapter_a_b for the region"),
    "no letters": ({"by": "region", "lines": ["北"]}, "'北' in the lines of chapter"),
    "a long name": ({"by": "region", "lines": ["a" * 40]}, "at most 40"),
    "line beside lines": (
        {"by": "region", "lines": ["a"], "line": {"of": "x", "by": "region", "value": "a"}},
        "got both",
    ),
    "itself": ({"line": {"of": "chapter", "by": "region", "value": "a"}}, "line of itself"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_lines_are_refused_by_name(tmp_path: Path, name: str) -> None:
    keys, message = REFUSED[name]
    with pytest.raises(ParamsError) as refused:
        read(tmp_path, block(**keys))
    assert message in str(refused.value)


def test_the_name_of_another_classifier_is_not_taken(tmp_path: Path) -> None:
    taken = SHORT.replace("  other:", "  chapter_north:")
    with pytest.raises(ParamsError, match=r"chapter_north for .* a name that is taken"):
        read(tmp_path, taken)


def test_two_blocks_cannot_answer_one_region(tmp_path: Path) -> None:
    own = {"source": {"query": "queries/d.sql", "label": "c"}}
    line = {"line": {"of": "c", "by": "region", "value": "north"}}
    with pytest.raises(ParamsError, match="a and b both answer c in 'north'"):
        read(tmp_path, yaml.safe_dump({"classifiers": {"a": own | line, "b": own | line}}))


def test_lines_written_out_say_the_same_and_keep_the_comments() -> None:
    written = write_lines(SHORT, "chapter")
    assert read_params(written) == read_params(SHORT)
    assert written.count("# 21 labels") == written.count("# fast") == 2
    assert "by: region        #" not in written and written.count("# the question") == 1
    flow = block(by="region", lines=["north", "south"])
    assert read_params(write_lines(flow, "chapter")) == read_params(flow)


def test_tuning_and_removal_of_one_line_write_the_lines_out() -> None:
    tuned = read_params(set_head(SHORT, "chapter_north", {"C": 3.0}))
    assert tuned.classifier("chapter_north").head.model_dump()["C"] == 3.0
    others = read_params(SHORT).classifiers.keys() - {"chapter_north"}
    assert all(tuned.classifier(name) == read_params(SHORT).classifier(name) for name in others)
    assert list(read_params(remove_block(SHORT, "chapter_north")).classifiers) == [
        "block",
        "chapter_ile_de_france",
        "other",
    ]
    assert list(read_params(remove_block(SHORT, "chapter")).classifiers) == ["block", "other"]


def test_a_bare_dvc_repro_is_refused_before_dvc_misses_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read(tmp_path, SHORT)
    with pytest.raises(ParamsError, match="perennial lines chapter --write"):
        resolve.run()
    read(tmp_path, write_lines(SHORT, "chapter"))
    resolve.run()
    assert (tmp_path / "build/spec/chapter_north/split.json").exists()


def test_only_the_files_of_lines_say_so(tmp_path: Path) -> None:
    files = resolve.specs(read(tmp_path, SHORT))
    line = {"of": "chapter", "by": "region", "value": "north"}
    assert files["chapter_north/split.json"]["line"] == line
    assert files["chapter_north/head.json"]["line"] == line
    assert "line" not in files["block/split.json"] and "line" not in files["block/head.json"]
    datasets = files["checks.json"]["datasets"]
    assert datasets["d"]["lines"]["chapter_north"] == {"label": "chapter", **line}
    assert "lines" not in datasets["o"]


def test_a_line_learns_from_the_rows_of_its_region_alone() -> None:
    table = pa.table({"region": ["north", " north", "south", None], "id": list("abcd")})
    assert of_line(table, None) is table
    assert of_line(table, "north")["id"].to_pylist() == ["a", "b"]
    with pytest.raises(TrainingImpossible) as refused:
        of_line(table, "west")
    assert "'west', got north (2 rows), no region (1 rows), south (1 rows)" in str(refused.value)


def test_a_head_keeps_its_line_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    line = Line("organ", "region", "north")
    save_head(make_head("1", line=line), tmp_path / "line")
    assert load_head(tmp_path / "line").line == line
    save_head(make_head("1"), tmp_path / "plain")
    assert "line" not in json.loads((tmp_path / "plain" / "head.json").read_text())
    save_head(replace(make_head("1"), line=line), tmp_path / "same")
    assert (tmp_path / "same/head.json").read_bytes() == (tmp_path / "line/head.json").read_bytes()
    manifest = json.loads((tmp_path / "line" / "head.json").read_text())
    (tmp_path / "line" / "head.json").write_text(json.dumps({**manifest, "line": "north"}))
    with pytest.raises(HeadRefused):
        load_head(tmp_path / "line")


LINES = {
    f"chapter_{region}": {"label": "c", "of": "chapter", "by": "region", "value": region}
    for region in ("north", "south")
}


def test_a_line_without_rows_stops_itself_and_rows_without_a_line_are_counted(
    tmp_path: Path,
) -> None:
    rows = pa.table(
        {
            "id": list("abcdefg"),
            "phrase": ["x"] * 7,
            "occurred_at": ["2026-01-01"] * 7,
            "region": ["north ", "north", "west", "west", None, "", "east"],
            "c": ["A", "A", "A", "B", "B", "B", " "],
        }
    )
    frame = _with_derived_columns(rows.to_pandas(), {"c": 1})
    north, south, covered = about_lines("d", frame, LINES)
    assert (north.passed, north.observed, south.passed, south.observed) == (True, 2, False, 0)
    assert (covered.name, covered.severity, covered.passed) == ("row_has_line", "warning", False)
    assert covered.rows == 4, "the row without a label belongs to no line"
    assert covered.observed == "chapter: no region: 2 rows, west: 2 rows"
    assert [row["id"] for row in covered.examples] == ["c", "d", "e", "f"]

    write_result(tmp_path, [north, south, covered])
    subjects = {name: ("d", "c") for name in LINES} | {"block": ("d", "block")}
    refused = refusals(tmp_path, subjects)
    assert list(refused) == ["chapter_south"]
    assert "line_has_rows on d.region for chapter_south (observed 0, limit 1)" in str(
        refused["chapter_south"]
    )


def test_a_query_without_regions_gives_no_line_a_row() -> None:
    rows = pa.table({"id": ["a"], "phrase": ["x"], "occurred_at": ["t"], "c": ["A"]})
    rows = rows.append_column("region", pa.nulls(1, pa.string()))
    north, south, covered = about_lines(
        "d", _with_derived_columns(rows.to_pandas(), {"c": 1}), LINES
    )
    assert not north.passed and not south.passed
    assert covered.observed == "chapter: no region: 1 rows"
