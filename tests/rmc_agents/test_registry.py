from __future__ import annotations

from typing import Any, Literal

import pytest

from rmc_agents import Core, LSTMCore, Registry, RelationalMemory, core_names, make_core, register_core
from rmc_agents.registry import matches


class Thing:
    def __init__(self, size: int, *, width: int, rate: float = 1.0, style: str | None = "plain") -> None:
        self.values = (size, width, rate, style)


@pytest.fixture
def things() -> Registry[Thing]:
    registry: Registry[Thing] = Registry("thing")
    registry.register("first")(Thing)
    return registry


def test_make_passes_arguments_and_options(things: Registry[Thing]) -> None:
    assert things.make("first", 3, width=4).values == (3, 4, 1.0, "plain")
    assert things.make("first", 3, width=4, rate=2, style=None).values == (3, 4, 2, None)
    assert things.get("first") is Thing
    assert things.names() == ["first"]


def test_unknown_names_show_the_nearest(things: Registry[Thing]) -> None:
    with pytest.raises(ValueError, match=r"unknown thing 'frist' \(did you mean 'first'\?\); known: \['first'\]"):
        things.make("frist", 3, width=4)
    with pytest.raises(ValueError, match=r"unknown thing 'zzz'; known: \['first'\]"):
        things.get("zzz")


def test_unknown_options_show_the_nearest(things: Registry[Thing]) -> None:
    with pytest.raises(
        ValueError, match=r"thing 'first' has no option 'widht' \(did you mean 'width'\?\); its options"
    ):
        things.make("first", 3, widht=4)
    # What the caller passes itself is no option.
    with pytest.raises(ValueError, match="thing 'first' has no option 'size'"):
        things.make("first", size=3, width=4)


def test_missing_options_are_named(things: Registry[Thing]) -> None:
    with pytest.raises(ValueError, match=r"thing 'first': options missing: \['width'\]"):
        things.make("first", 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": True}, r"option 'width': True \(bool\) given, int needed"),
        ({"width": 4.0}, r"option 'width': 4.0 \(float\) given, int needed"),
        ({"width": None}, r"option 'width': None \(NoneType\) given, int needed"),
        ({"width": 4, "rate": "fast"}, r"option 'rate': 'fast' \(str\) given, float needed"),
        ({"width": 4, "rate": False}, r"option 'rate': False \(bool\) given, float needed"),
        ({"width": 4, "style": 1}, r"option 'style': 1 \(int\) given, str \| None needed"),
    ],
)
def test_types_are_checked(things: Registry[Thing], options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        things.make("first", 3, **options)


def test_a_name_is_given_once(things: Registry[Thing]) -> None:
    things.register("first")(Thing)  # the same class again is no conflict

    class Other(Thing):
        pass

    with pytest.raises(ValueError, match=r"thing 'first' is already registered as .*Thing"):
        things.register("first")(Other)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (True, bool, True),
        (1, bool, False),
        (1, float, True),
        (1.5, float, True),
        ("1", float, False),
        (None, int | None, True),
        (None, None, True),
        (2.0, int | str, False),
        ("unit", Literal["unit", "memory"], True),
        ("slot", Literal["unit", "memory"], False),
        (True, Literal[1], False),
        ([64, 64], tuple[int, ...], True),
        ((64, 6.4), tuple[int, ...], False),
        (64, tuple[int, ...], False),
        ((1, "a"), tuple[int, str], True),
        ((1, "a", 2), tuple[int, str], False),
        ([True], list[int], False),
        (object(), Any, True),
    ],
)
def test_matches(value: Any, annotation: Any, expected: bool) -> None:
    assert matches(value, annotation) is expected


def test_the_packages_own_cores() -> None:
    assert core_names() == ["conv_lstm", "dnc", "gru", "lstm", "lstm_bank", "rmc"]
    memory = make_core("rmc", 9, mem_slots=4, head_size=8, num_heads=2, key_size=None, forget_bias=1)
    assert isinstance(memory, RelationalMemory)
    assert (memory.input_size, memory.output_size) == (9, 64)
    lstm = make_core("lstm", 9, hidden_size=7)
    assert isinstance(lstm, LSTMCore)
    assert lstm.output_size == 7
    with pytest.raises(ValueError, match=r"core 'rmc' has no option 'num_head' \(did you mean 'num_heads'\?\)"):
        make_core("rmc", 9, mem_slots=4, head_size=8, num_head=2)
    with pytest.raises(ValueError, match=r"core 'rmc': options missing: \['mem_slots', 'head_size'\]"):
        make_core("rmc", 9)
    with pytest.raises(ValueError, match=r"unknown core 'lsmt' \(did you mean 'lstm'\?\)"):
        make_core("lsmt", 9)


def test_a_core_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from rmc_agents.registry import cores

    monkeypatch.setattr(cores, "_classes", dict(cores._classes))
    known = core_names()

    @register_core("mine")
    class Mine(LSTMCore):
        pass

    assert core_names() == sorted([*known, "mine"])
    core: Core = make_core("mine", 3, hidden_size=2)
    assert isinstance(core, Mine)
