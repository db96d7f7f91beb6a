from __future__ import annotations

import pygame
import pytest

from rmc_rl.viewer.keys import PersonKeys
from rmc_rl.viewer.person import Person


@pytest.fixture
def person() -> Person:
    return Person(PersonKeys.of(("stay", "right", "up", "left", "down")), was_paused=False)


def test_without_a_key_time_passes(person: Person) -> None:
    assert person.choose() == 0


def test_a_key_that_was_tapped_counts_once(person: Person) -> None:
    person.press(pygame.K_UP)
    person.release(pygame.K_UP)
    assert [person.choose(), person.choose()] == [2, 0]


def test_a_key_held_down_counts_until_it_goes_up(person: Person) -> None:
    person.press(pygame.K_LEFT)
    assert [person.choose() for _ in range(3)] == [3, 3, 3]
    person.press(pygame.K_DOWN)
    assert [person.choose(), person.choose()] == [4, 4]
    person.release(pygame.K_DOWN)
    assert person.choose() == 3
    person.release(pygame.K_LEFT)
    person.release(pygame.K_LEFT)
    assert person.choose() == 0
