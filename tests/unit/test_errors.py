"""The tree of errors: every concrete error has one branch, and the branch says whether to retry."""

from __future__ import annotations

import pytest

from core import errors
from core.errors import (
    DataError,
    MachineError,
    PerennialError,
    TransientError,
    UsageError,
    UserError,
)

LEAVES = (TransientError, UsageError, DataError, MachineError)
BRANCHES = {PerennialError, UserError, *LEAVES}
CONCRETE = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, PerennialError) and value not in BRANCHES
]


@pytest.mark.parametrize("kind", CONCRETE)
def test_a_concrete_error_belongs_to_exactly_one_branch(kind: type[PerennialError]) -> None:
    assert len([branch for branch in LEAVES if issubclass(kind, branch)]) == 1


@pytest.mark.parametrize("kind", CONCRETE)
def test_retryable_follows_from_the_branch(kind: type[PerennialError]) -> None:
    assert kind.retryable is issubclass(kind, TransientError)
    assert "retryable" not in vars(kind)


def test_every_concrete_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in CONCRETE]
    assert len(codes) == len(set(codes)) == 36
    assert "error" not in codes


def test_a_branch_has_no_code_of_its_own() -> None:
    assert {branch.code for branch in BRANCHES} == {"error"}


def test_an_error_states_what_was_wanted_what_came_and_what_to_do() -> None:
    error = PerennialError("a name", came="nothing", do="name one")
    assert str(error) == "expected a name, got nothing; name one"
    assert (error.wanted, error.came, error.do) == ("a name", "nothing", "name one")
