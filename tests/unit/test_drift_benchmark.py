from benchmarks.drift_outcomes import Alarms, Outcomes, share, verdicts_of

CALM: Alarms = ()
ODD: Alarms = ("confidence",)


def test_verdicts_follow_each_other_as_in_a_watch() -> None:
    assert verdicts_of([ODD, CALM, ODD, ODD]) == ["warning", "steady", "warning", "drift"]
    assert verdicts_of([ODD, ("embeddings",)]) == ["warning", "warning"]


def test_calm_traffic_counts_every_window_and_every_pair() -> None:
    outcomes = Outcomes(drifted=False, alarms=[[CALM, ODD, ODD, CALM], [CALM, CALM, CALM, ODD]])
    assert (outcomes.single, outcomes.called) == ((3, 8), (1, 6))
    assert (outcomes.by(2), outcomes.by(3)) == ((0, 2), (1, 2))


def test_drifted_traffic_counts_the_windows_that_are_always_played() -> None:
    outcomes = Outcomes(drifted=True, alarms=[[ODD, ODD], [CALM, ODD, CALM, ODD]])
    assert (outcomes.single, outcomes.of("confidence"), outcomes.by(2), outcomes.by(4)) == (
        (3, 4),
        (3, 4),
        (1, 2),
        (1, 2),
    )


def test_a_share_comes_with_its_interval() -> None:
    assert share((0, 200)) == "0.0 % (0.0 to 1.9)"
    assert share((0, 0)) == "-"
