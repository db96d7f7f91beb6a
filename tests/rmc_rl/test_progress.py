from __future__ import annotations

import json
from typing import Any

import pytest

from rmc_rl.errors import UserError
from rmc_rl.progress import Progress
from tests.spaces import discrete_interface


def example() -> Progress:
    progress = Progress(discrete_interface((5, 5, 3), 5), steps=100, updates=7, seconds=1.5, best=2.5)
    progress.episodes.add([1.0, 2.0], [3, 4])
    return progress


def test_round_trip_through_json() -> None:
    record = json.loads(json.dumps(example().to_json()))
    again = Progress.from_json(record, "here")
    again_record = json.loads(json.dumps(again.to_json()))
    assert again_record["interval"].pop("seconds") >= record["interval"].pop("seconds")
    assert again_record == record
    assert again.interface == example().interface
    assert record["return_mean"] == 1.5


def test_a_run_without_episodes_has_no_mean() -> None:
    record = Progress(discrete_interface((3,), 2)).to_json()
    assert record["return_mean"] is None
    assert json.loads(json.dumps(record, allow_nan=False))["best_return"] is None


@pytest.mark.parametrize(
    "key", ["interface", "steps", "updates", "seconds", "best_return", "env_failures", "episodes", "interval"]
)
def test_what_is_missing_or_forged_is_refused(key: str) -> None:
    record = example().to_json()
    for forged in ("x", [], True, -1.5, {"count": 3}, float("nan")):
        if key in ("seconds", "best_return") and forged == -1.5:
            continue
        with pytest.raises(UserError, match="here does not hold the record"):
            Progress.from_json({**record, key: forged}, "here")
    del record[key]
    with pytest.raises(UserError, match="here does not hold the record"):
        Progress.from_json(record, "here")


@pytest.mark.parametrize(
    "spaces",
    [
        {"observation": {"type": "Box", "shape": [10**6, 10**6], "dtype": "float32", "low": 0, "high": 1}},
        {"observation": {"type": "Box", "shape": [-3, -3], "dtype": "float32", "low": 0, "high": 1}},
        {"observation": {"type": "Box", "shape": [3], "dtype": "O", "low": 0, "high": 1}},
        {"observation": {"type": "Box", "shape": [3], "dtype": "float32", "low": [1, 2], "high": 1}},
        {"observation": {"type": "Text"}},
        {"action": {"type": "Discrete", "n": 0, "start": 0}},
        {"action": {"type": "Discrete", "n": 2.5, "start": 0}},
        {"action": {"type": "MultiDiscrete", "nvec": [10**9], "start": [0]}},
        {"action": {"type": "Dict", "parts": {}}},
    ],
)
def test_impossible_spaces_are_refused(spaces: dict[str, Any]) -> None:
    record = example().to_json()
    with pytest.raises(UserError, match="here does not hold the record"):
        Progress.from_json({**record, "interface": {**record["interface"], **spaces}}, "here")
