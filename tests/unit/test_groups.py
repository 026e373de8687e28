"""Which classifiers are served together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.heads.live_heads import LiveHeads
from bentos.packaging.package import bento_name, serve_command
from bentos.wiring import abandoned_journals, served_group
from core.contracts import Rollout
from core.errors import SettingsError, UnknownClassifier
from core.groups import group_of, parse_groups, refuse_unknown
from core.settings import load_settings
from machine.programs import further_services, list_programs
from tests.support.heads import EMBEDDER_ID, champion, store_head

names = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)


@given(st.dictionaries(names, st.integers(0, 3), min_size=1), names)
def test_every_classifier_is_served_by_one_group(placed: dict[str, int], other: str) -> None:
    groups = [
        [name for name in placed if placed[name] == number]
        for number in sorted(set(placed.values()))
    ]
    parsed = parse_groups(";".join(",".join(group) for group in groups))
    assert [group.names for group in parsed] == [frozenset(group) for group in groups]
    for name in {*placed, other}:
        assert [group for group in parsed if group.serves(name)] == [group_of(parsed, name)]
    assert group_of(parsed, other).number == 1 or other in placed


def test_without_a_setting_one_group_serves_all() -> None:
    [group] = parse_groups(" ")
    assert group.serves("anything")


@pytest.mark.parametrize("text", ["a;", "a,,b", "a;b,a", "A", "a:b", "../etc", ";", "a b"])
def test_what_is_no_grouping_names_its_variable(text: str) -> None:
    with pytest.raises(SettingsError, match="PERENNIAL_BENTOS"):
        load_settings(bentos=text)


def test_a_name_that_is_no_classifier_is_refused() -> None:
    refuse_unknown(parse_groups("chapter;block"), ["block", "chapter", "other"])
    refuse_unknown(parse_groups(""), ["block"])
    with pytest.raises(UnknownClassifier, match="blocks in PERENNIAL_BENTOS"):
        refuse_unknown(parse_groups("chapter;blocks"), ["block", "chapter"])


def test_each_group_has_a_port_a_journal_and_a_program_that_status_shows(tmp_home: Path) -> None:
    settings = load_settings(
        home=tmp_home, database_url=None, bentos="chapter;block,phase;organ", service_port=3000
    )
    assert [
        settings.url_of(name)[-4:] for name in ("chapter", "never_named", "phase", "organ")
    ] == ["3000", "3000", "3001", "3002"]
    assert len({settings.model_copy(update={"bento": number}).journal for number in (1, 2, 3)}) == 3
    further = further_services(settings)
    assert [(service.name, service.port, service.health) for service in further] == [
        ("service-2", 3001, "/readyz"),
        ("service-3", 3002, "/readyz"),
    ]
    assert "block, phase" in further[0].does
    assert not {service.name for service in further} & {
        program.name for program in list_programs(settings)
    }, "the program `service` runs them"


def test_the_last_port_is_the_last_there_is(tmp_home: Path) -> None:
    load_settings(bentos="a;b", service_port=65534)
    with pytest.raises(SettingsError, match="65535"):
        load_settings(bentos="a;b", service_port=65535)


def test_a_group_runs_from_its_bento_or_from_the_first(tmp_home: Path) -> None:
    settings = load_settings(home=tmp_home, database_url=None, bentos="chapter;block;organ")
    (tmp_home / "bentoml" / "bentos" / "perennial-2" / "7").mkdir(parents=True)
    environment = serve_command("perennial:7", settings=settings, database_url="").environment
    assert (bento_name(1), environment["PERENNIAL_FURTHER_BENTOS"]) == (
        "perennial",
        "perennial-2:7 perennial:7",
    )
    assert (environment["PERENNIAL_BENTOS"], environment["PERENNIAL_BENTO"]) == (
        "chapter;block;organ",
        "1",
    )


def test_a_process_serves_its_group_and_refuses_a_number_that_is_none() -> None:
    assert served_group(load_settings(bentos="chapter;block", bento=2)).serves("block")
    with pytest.raises(SettingsError, match="PERENNIAL_BENTO "):
        served_group(load_settings(bentos="chapter;block", bento=3))


def test_only_the_groups_heads_are_followed(tmp_path: Path) -> None:
    first, second = (store_head(tmp_path, name, "1") for name in ("chapter", "block"))
    groups = parse_groups("chapter;block;organ")
    rollouts = {model.classifier: Rollout(champion(model)) for model in (first, second)}
    heads = [LiveHeads(EMBEDDER_ID, home=tmp_path, serves=group.serves) for group in groups]
    assert [follower.idle for follower in heads] == [False, False, False], "nothing is known yet"
    for follower in heads:
        follower.refresh(lambda: rollouts)
    assert [(list(follower.current), follower.idle) for follower in heads] == [
        (["chapter"], False),
        (["block"], False),
        ([], True),
    ]


def test_journals_of_groups_that_are_no_more_are_known(tmp_home: Path) -> None:
    for name in ("journal", "journal-2", "journal-3", "journals", "journal-x"):
        (tmp_home / name).mkdir(parents=True)
    settings = load_settings(home=tmp_home, database_url=None, bentos="chapter;block")
    assert abandoned_journals(settings) == [tmp_home / "journal-3"]
    assert [folder.name for folder in settings.journals] == ["journal", "journal-2", "journal-3"]
