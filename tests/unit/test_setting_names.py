"""Misspelt variables are named with the likely one; others are none of our business."""

from __future__ import annotations

import pytest

from core.errors import SettingsError
from core.setting_names import refuse_misspelt
from core.settings import Settings

MISSPELT = [
    ("PERENNIAL_SERVICE_PRT", "PERENNIAL_SERVICE_PORT"),
    ("PERENNIAL_SOURCE_URI", "PERENNIAL_SOURCE_URL"),
    ("PERENNIAL_HOMES", "PERENNIAL_HOME"),
    ("PERENNIAL_database_ulr", "PERENNIAL_DATABASE_URL"),
    ("PERENNIAL_API_KEY_FILE", "PERENNIAL_API_KEYS_FILE"),
    ("PERENNIAL_KEEP_MONTH", "PERENNIAL_KEEP_MONTHS"),
]


@pytest.mark.parametrize(("name", "meant"), MISSPELT)
def test_a_misspelt_variable_is_named_with_the_likely_one(name: str, meant: str) -> None:
    with pytest.raises(SettingsError) as caught:
        refuse_misspelt(["PATH", name])
    assert name in caught.value.came
    assert f"write {meant} " in caught.value.do


def test_every_setting_and_every_variable_of_the_programs_is_known() -> None:
    refuse_misspelt(f"PERENNIAL_{name.upper()}" for name in Settings.model_fields)
    refuse_misspelt(["PERENNIAL_SUPERVISED", "PERENNIAL_API_KEY", "PERENNIAL_FURTHER_BENTOS"])


@pytest.mark.parametrize(
    "name",
    [
        "PERENNIAL_SERVICE_HOST",
        "PERENNIAL_PORT_3000_TCP_ADDR",
        "PERENNIAL_SOURCE_TICKETS_URL",
        "PERENNIAL_NOTE",
        "MY_PERENNIAL_SERVICE_PRT",
    ],
)
def test_other_variables_pass(name: str) -> None:
    refuse_misspelt([name])
