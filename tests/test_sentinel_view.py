"""Which sentinel is believed: every order of answers, and what a restart of the sentinels does."""

from __future__ import annotations

from itertools import permutations

import pytest

from greenredis.sentinel.view import Claim, MasterView

A, B, C = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6379)


def heard(*claims: tuple[str, tuple[str, int], int]) -> MasterView:
    """A view that has heard these, and believed what it decided each time."""
    view = MasterView()
    for sentinel, place, epoch in claims:
        view.hear(sentinel, Claim(place, epoch))
        found = view.decide()
        if found is not None:
            view.believe(found)
    return view


def believed(view: MasterView) -> tuple[str, int]:
    assert view.believed is not None
    return view.believed.place


def test_first_claim_is_believed_until_a_higher_epoch_is_heard() -> None:
    assert heard().believed is None
    assert believed(heard(("s1", A, 4))) == A
    assert believed(heard(("s1", A, 4), ("s2", B, 5))) == B


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_highest_epoch_wins_in_every_order(order: tuple[int, ...]) -> None:
    claims = [("s1", A, 1), ("s2", B, 2), ("s3", A, 3), ("s4", C, 4)]
    assert believed(heard(*(claims[number] for number in order))) == C


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_equal_epochs_go_to_the_majority_in_every_order(order: tuple[int, ...]) -> None:
    claims = [("s1", A, 3), ("s2", B, 3), ("s3", B, 3)]
    assert believed(heard(*(claims[number] for number in order))) == B


def test_two_of_four_are_no_majority() -> None:
    assert believed(heard(("s1", A, 3), ("s2", B, 3), ("s3", B, 3), ("s4", A, 3))) == B
    assert believed(heard(("s1", A, 3), ("s4", A, 3), ("s2", B, 3), ("s3", B, 3))) == A


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_old_master_never_comes_back(order: tuple[int, ...]) -> None:
    """A, B, A, B: late news of the earlier switches, in any order, after the last one."""
    late = [("s1", A, 1), ("s2", B, 2), ("s3", A, 3), ("s4", A, 3)]
    view = heard(("s0", B, 4), *(late[number] for number in order))
    assert believed(view) == B


def test_lower_epoch_needs_the_majority_and_nobody_who_names_the_old_one() -> None:
    view = heard(("s1", A, 7), ("s2", A, 7), ("s3", A, 7), ("s1", B, 0))
    assert believed(view) == A and view.candidate() is None
    view.hear("s2", Claim(B, 0))
    assert view.decide() is None and view.candidate() is None, "s3 still names the old one"
    view.forget("s3")
    assert view.decide() is None
    assert view.candidate() == Claim(B, 0), "its ROLE is to be asked"
    view.believe(Claim(B, 0))
    assert view.candidate() is None and view.decide() is None


def test_epochs_that_begin_again_for_the_same_master_are_taken_over() -> None:
    """After REMOVE and MONITOR of the same master, the next switch has a small epoch, too."""
    view = heard(("s1", A, 7), ("s2", A, 7), ("s1", A, 0))
    assert view.believed == Claim(A, 7), "s2 has not begun again"
    view.hear("s2", Claim(A, 0))
    assert view.decide() is None and view.believed == Claim(A, 0)
    view.hear("s1", Claim(B, 1))
    assert view.decide() == Claim(B, 1)


def test_those_who_left_do_not_vote() -> None:
    view = heard(("s1", A, 3), ("s2", A, 3), ("s3", B, 3))
    view.forget("s1")
    view.forget("s2")
    assert view.decide() == Claim(B, 3)
    view.forget("s3")
    assert view.decide() is None and view.candidate() is None and believed(view) == A
