"""Damaged phrases and wrong clocks are named; habits and single mistakes are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from monitoring.windows.clocks import name_wrong_clocks
from monitoring.windows.damaged import cut_phrases, find_damage, is_mojibake
from pipelines.model.text import clean_phrase

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KNOWN = ["acute bronchitis", "fracture of femur", "pneumonia", "viral pneumonia"]


@pytest.mark.parametrize("phrase", ["Fièvre élevée", "Spaß", "«été»", "niño", "fractúra", "発熱"])
def test_right_text_is_not_mojibake(phrase: str) -> None:
    assert not is_mojibake(phrase)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("phrase", ["fièvre", "niño", "Übelkeit", "“quoted”", "Грипп"])
def test_utf8_read_in_one_byte_is_mojibake(phrase: str, encoding: str) -> None:
    assert is_mojibake(phrase.encode().decode(encoding, errors="replace"))


def test_a_phrase_is_cut_when_it_ends_inside_a_word_of_a_longer_one() -> None:
    phrases = ["pneum", "acute bronch", "acute", "fracture of", "viral pneumonia", "fem", "xyz"]
    assert cut_phrases(phrases, KNOWN) == {"pneum", "acute bronch"}


def past(cuts: int = 0) -> pd.DataFrame:
    cleaned = [KNOWN[number % 4] for number in range(2000)]
    cleaned[:cuts] = [("acute bronchiti", "fracture of fe")[n % 2] for n in range(cuts)]
    return pd.DataFrame({"cleaned": cleaned, "weight": 1.0})


def window(damaged: int, *, mojibake: bool = False, region: str = "west") -> pd.DataFrame:
    rows = 1000
    cleaned = [KNOWN[number % 4] for number in range(rows - damaged)] + ["pneumoni"] * damaged
    return pd.DataFrame(
        {
            "cleaned": cleaned,
            "mojibake": [False] * (rows - damaged) + [mojibake] * damaged,
            "region": ["east"] * (rows - damaged) + [region] * damaged,
        }
    )


@pytest.mark.parametrize(
    ("mojibake", "kind"), [(True, "30 in a wrong encoding"), (False, "30 cut short")]
)
def test_a_broken_client_is_named_with_its_region(mojibake: bool, kind: str) -> None:
    damage = find_damage(window(30, mojibake=mojibake), past())
    assert damage.rows.sum() == 30
    assert f"{kind}, of 1000, 30 of them from region west, such as 'pneumoni'" in damage.sentence


def test_a_few_damaged_phrases_are_not_named() -> None:
    assert not find_damage(window(9), past()).named
    assert not find_damage(window(0), past()).named


def mojibake(count: int) -> pd.DataFrame:
    """997 usual rows, and one each of so many phrases in a wrong encoding."""
    cleaned = [KNOWN[number % 4] for number in range(997)]
    cleaned += [f"fi\u00e3\u00a9vre {number}" for number in range(count)]
    rows = pd.DataFrame({"cleaned": cleaned, "region": "west"})
    return rows.assign(mojibake=rows["cleaned"].str.startswith("fi"))


def test_three_phrases_in_a_wrong_encoding_are_enough() -> None:
    """At 193 answers a day, a client of 2 % that is broken for three days sends about six."""
    damage = find_damage(mojibake(3), past())
    assert "3 in a wrong encoding, of 1000, 3 of them from region west" in damage.sentence
    assert damage.rows.sum() == 3
    assert not damage.may_explain, "a drift of the window has another cause"
    assert not find_damage(mojibake(2), past()).named


def test_one_phrase_in_a_wrong_encoding_is_no_client_however_often_it_comes() -> None:
    thrice = pd.concat([mojibake(1), *[mojibake(1)[-1:]] * 2])
    assert not find_damage(thrice, past()).named


def test_usual_cuts_do_not_hide_phrases_in_a_wrong_encoding() -> None:
    """Nine damaged rows would be too few, were the six cut ones not left aside."""
    damage = find_damage(pd.concat([window(6)[-6:], mojibake(3)]), past())
    assert "3 in a wrong encoding, of 1006" in damage.sentence
    assert damage.rows.sum() == 3 and damage.rows[-3:].all()


def test_what_cleaning_removes_is_no_proof() -> None:
    """An upper-case word before a no-break space looks damaged; the past cannot show it."""
    phrases = pd.Series([f"MANH\u00c3\u00a0{word}" for word in ("FRIA", "CLARA", "LONGA", "TARDE")])
    assert phrases.map(is_mojibake).all()
    rows = pd.DataFrame({"cleaned": phrases.map(clean_phrase), "mojibake": True, "region": "west"})
    assert not find_damage(pd.concat([mojibake(0), rows]), past()).named


def test_a_site_whose_new_phrases_often_come_in_a_wrong_encoding_is_the_past() -> None:
    habit = [f"fi\u00e3\u00a9vre {n}" for n in range(60)]
    phrases = [*KNOWN * 500, *(f"new {n}" for n in range(300)), *habit]
    baseline = pd.DataFrame({"cleaned": phrases, "weight": 1.0})
    cleaned = [
        *KNOWN * 200,
        *(f"other {n}" for n in range(30)),
        *(f"ni\u00e3\u00b1o {n}" for n in range(6)),
    ]
    fresh = pd.DataFrame({"cleaned": cleaned, "region": None})
    fresh["mojibake"] = fresh["cleaned"].str.startswith("ni")
    assert not find_damage(fresh, baseline).named
    assert find_damage(fresh, baseline[: len(phrases) - 60]).named
    repeated = pd.concat([baseline, baseline[-60:]])
    assert not find_damage(fresh, repeated).named, "nor is one whose phrases come twice"


def test_desks_that_always_cut_are_the_past() -> None:
    """Every cut phrase of the past came once, as those of the window did."""
    long = [f"diagnosis number{n:04d}x" for n in range(1000)]
    cut = [phrase[:-1] for phrase in long]
    baseline = pd.DataFrame({"cleaned": [*long, *long, *cut[:200]], "weight": 1.0})
    fresh = pd.DataFrame({"cleaned": [*long[:800], *cut[800:]], "mojibake": False, "region": None})
    assert not find_damage(fresh, baseline).named
    assert find_damage(fresh, baseline[:2000]).named


def test_a_season_of_new_phrases_brings_its_usual_cuts() -> None:
    """A tenth of the past's new phrases were cut: held out, so that each stands for three."""
    known = [f"diagnosis number{n:04d}x" for n in range(2000)]
    phrases = [*known[:1000], *known[:1000], *known[1000:1090], *[p[:-1] for p in known[:10]]]
    baseline = pd.DataFrame({"cleaned": phrases, "weight": [1.0] * 2000 + [1 / 0.3] * 100})
    new = [f"season {n:03d}" for n in range(360)]

    def season(cut: int) -> pd.DataFrame:
        fresh = [*known[:600], *[phrase[:-1] for phrase in known[100 : 100 + cut]], *new[cut:]]
        return pd.DataFrame({"cleaned": fresh, "mojibake": False, "region": None})

    assert not find_damage(season(40), baseline).named
    assert find_damage(season(120), baseline).named


def test_a_short_past_does_not_name_a_client() -> None:
    phrases = [f"diagnosis number{n:04d}x" for n in range(300)]
    baseline = pd.DataFrame({"cleaned": phrases, "weight": 1.0})
    fresh = [f"new {n:03d}" for n in range(788)] + [phrase[:-1] for phrase in phrases[:12]]
    window = pd.DataFrame({"cleaned": fresh, "mojibake": False, "region": None})
    assert not find_damage(window, baseline).named


def test_known_phrases_in_a_wrong_encoding_are_the_past() -> None:
    usual = window(0)
    usual["mojibake"] = usual["cleaned"] == KNOWN[0]
    assert not find_damage(usual, past()).named


def rows(off: int, *, days: float) -> pd.DataFrame:
    at = [NOW + timedelta(minutes=number) for number in range(500)]
    places = np.linspace(0, 499, off).astype(int)
    for place in places:
        at[place] += timedelta(days=days)
    region = np.where(np.isin(np.arange(500), places), "west", "east")
    return pd.DataFrame({"occurred_at": pd.to_datetime(at), "region": region})


def test_a_clock_that_is_off_by_more_than_a_day_is_named() -> None:
    assert name_wrong_clocks(rows(40, days=-365)) == (
        "the clock of a client is off: 40 of 500 answers are dated 365.0 days behind (median), "
        "40 of them from region west"
    )
    assert "2.0 days ahead" in name_wrong_clocks(rows(40, days=2))


@pytest.mark.parametrize(("off", "days"), [(0, 0), (9, -365), (200, 0.5)])
def test_single_mistakes_and_time_zones_are_not_named(off: int, days: float) -> None:
    assert name_wrong_clocks(rows(off, days=days)) == ""
