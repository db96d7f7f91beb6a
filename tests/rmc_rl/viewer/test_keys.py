from __future__ import annotations

import pygame
import pytest

from rmc_rl.viewer.keys import DIGITS, FASTER, SLOWER, STEPS, PersonKeys


def test_moves_have_arrows_and_letting_time_pass_has_enter() -> None:
    keys = PersonKeys.of(("stay", "right", "up", "left", "down"))
    assert keys.names == ("enter", "right", "up", "left", "down")
    arrows = {pygame.K_RETURN: 0, pygame.K_RIGHT: 1, pygame.K_UP: 2, pygame.K_LEFT: 3, pygame.K_DOWN: 4}
    assert keys.actions == arrows
    assert keys.nothing == 0


def test_other_actions_have_digits_and_then_letters() -> None:
    keys = PersonKeys.of([f"symbol {i}" for i in range(12)])
    assert keys.names == (*"0123456789", "c", "d")
    assert keys.actions[pygame.K_3] == 3
    assert keys.actions[pygame.K_d] == 11
    assert keys.nothing is None


def test_names_are_read_in_any_case_and_mixed() -> None:
    keys = PersonKeys.of(("NOOP", "FIRE", "UP", "up"))
    assert keys.names == ("enter", "0", "up", "1")
    assert keys.nothing == 0
    assert sorted(keys.actions.values()) == [0, 1, 2, 3]


def test_actions_for_which_there_are_not_enough_keys() -> None:
    most = 25
    assert len(set(PersonKeys.of([f"action {i}" for i in range(most)]).names)) == most
    with pytest.raises(ValueError, match="the 26 actions of this game are too many"):
        PersonKeys.of([f"action {i}" for i in range(most + 1)])


def test_a_persons_letters_are_none_of_the_viewers() -> None:
    letters = set(map(ord, "nprgtabvshq"))
    taken = letters | set(FASTER) | set(SLOWER) | set(STEPS) | {pygame.K_SPACE, pygame.K_ESCAPE}
    person = PersonKeys.of([f"action {i}" for i in range(25)])
    assert not taken & set(person.actions)
    assert set(DIGITS) & set(person.actions), "digits choose actions while a person plays"
