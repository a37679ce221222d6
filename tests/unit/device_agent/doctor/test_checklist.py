"""What a person has to try on hardware: numbered in order, and done within an hour."""

from __future__ import annotations

from device_agent.doctor.checklist import TRIALS


def test_the_trials_are_numbered_in_order_and_take_an_hour_at_most() -> None:
    assert [trial.number for trial in TRIALS] == list(range(1, len(TRIALS) + 1))
    assert 0 < sum(trial.minutes for trial in TRIALS) <= 60


def test_every_trial_says_on_which_board_what_to_do_and_what_should_be_seen() -> None:
    assert all(trial.minutes and trial.boards and trial.do and trial.see for trial in TRIALS)
