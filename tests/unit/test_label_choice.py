"""Which label a typed text means, and what labels mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.label_choice import DescribedLabel, find_label, label_descriptions
from core.errors import InvalidFeedback

LABELS = [
    DescribedLabel("heart", "pumps the blood"),
    DescribedLabel("kidney", "filters the blood"),
    DescribedLabel("kidney stone"),
]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("heart", "heart"),
        ("HEAR", "heart"),
        ("  filters ", "kidney"),
        ("blood pump", "heart"),
        ("kidney", "kidney"),  # the whole name of one, and a part of another
        ("stone", "kidney stone"),
    ],
)
def test_a_text_means_the_label_that_alone_has_its_words(text: str, label: str) -> None:
    assert find_label(LABELS, text) == label


@pytest.mark.parametrize(
    ("text", "found"), [("blood", "matches 2"), ("lung", "matches 0"), ("", "matches 3")]
)
def test_no_or_several_labels_are_refused(text: str, found: str) -> None:
    with pytest.raises(InvalidFeedback, match=found):
        find_label(LABELS, text)


def test_descriptions_are_read_again_when_their_file_changes(tmp_path: Path) -> None:
    assert label_descriptions(tmp_path, "organ") == {}
    file = tmp_path / "queries" / "labels" / "organ.csv"
    file.parent.mkdir(parents=True)
    for description in ("pumps", "pumps the blood"):
        file.write_text(f"label,description\nheart,{description}\n", encoding="utf-8")
        assert label_descriptions(tmp_path, "organ") == {"heart": description}


@pytest.mark.parametrize("content", [b"\xff", b"name,what\nheart,pumps\n", b"", b"label\nheart\n"])
def test_an_unreadable_file_describes_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "queries" / "labels" / "organ.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert label_descriptions(tmp_path, "organ") == {}


def test_the_blocks_of_the_demo_are_described() -> None:
    described = label_descriptions(Path(__file__).parents[2], "block")
    assert described["A00-A09"] == "Intestinal infectious diseases"
