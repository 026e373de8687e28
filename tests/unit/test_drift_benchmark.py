from benchmarks.drift import Seen, share, verdicts_of

CALM, ODD = (), ("confidence",)


def test_verdicts_follow_each_other_as_in_a_watch() -> None:
    assert verdicts_of([ODD, CALM, ODD, ODD]) == ["warning", "steady", "warning", "drift"]
    assert verdicts_of([ODD, ("embeddings",)]) == ["warning", "warning"]


def test_calm_traffic_counts_every_window_and_every_pair() -> None:
    seen = Seen(drifted=False, alarms=[[CALM, ODD, ODD, CALM], [CALM, CALM, CALM, ODD]])
    assert (seen.single, seen.called) == ((3, 8), (1, 6))
    assert (seen.by(2), seen.by(3)) == ((0, 2), (1, 2))


def test_drifted_traffic_counts_the_windows_that_are_always_played() -> None:
    seen = Seen(drifted=True, alarms=[[ODD, ODD], [CALM, ODD, CALM, ODD]])
    assert (seen.single, seen.of("confidence"), seen.by(2), seen.by(4)) == (
        (3, 4),
        (3, 4),
        (1, 2),
        (1, 2),
    )


def test_a_share_is_told_with_its_interval() -> None:
    assert share((0, 200)) == "0.0 % (0.0 to 1.9)"
    assert share((0, 0)) == "-"
