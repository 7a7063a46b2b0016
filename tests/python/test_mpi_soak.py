"""The short form of tests/soak: a handful of kills at random moments, on one rank, on several and while their number changes."""

from soak_helpers import *


def test_killed_at_random_moments_nothing_is_lost(tmp_path):
    soak = Soak(make_world(tmp_path / "world"), seed=7)
    for layout, kills in (("1 rank", 3), ("2 ranks, 2 groups", 2), (CHANGING, 3)):
        soak.episode(layout, kills)
    for _ in range(5):  # a machine that has become faster since the undisturbed run was timed ends before it is killed
        if soak.kills() < 3:
            soak.episode("1 rank", 3)
    assert not soak.lost, "\n".join(soak.lost)
    assert soak.kills() >= 3
    assert all(counts["survived"] == counts["kills"] for counts in soak.tally.values())
