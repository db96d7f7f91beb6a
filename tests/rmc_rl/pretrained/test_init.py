"""The agents that come with the package, each as it lies there."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

import rmc_rl
from rmc_rl.checkpoint import WEIGHTS, flatten, load_checkpoint
from rmc_rl.errors import UserError
from rmc_rl.evaluate import evaluate
from rmc_rl.pretrained import HERE, pretrained_folder, pretrained_names
from rmc_rl.pretrained.card import CARD, EVALUATION, VERSIONS, model_card

NAMES = pretrained_names()
LARGEST = 5_000_000
"""In bytes, of weights that everybody downloads."""


def test_the_default_game_has_an_agent() -> None:
    assert "minipacman-viewport" in NAMES
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_small_whole_and_alone(name: str) -> None:
    folder = pretrained_folder(name)
    assert sum(path.stat().st_size for path in folder.rglob("*")) < LARGEST
    state, _ = load_checkpoint(folder / WEIGHTS)
    assert list(state) == ["learner"]
    assert list(state["learner"]) == ["agent"]
    assert {array.dtype for array in flatten(state).values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_what_the_folder_tells(name: str) -> None:
    card = (pretrained_folder(name) / CARD).read_text()
    assert card == model_card(pretrained_folder(name), name, "Apache-2.0")
    for file in (CARD, VERSIONS, "config.yaml", f"{WEIGHTS}/checkpoint.json"):
        assert not re.search(r"(^|[\s\"'=])/\w", (pretrained_folder(name) / file).read_text()), "a machine's folder"


@pytest.mark.parametrize("name", NAMES)
def test_it_plays_as_well_as_is_said(name: str) -> None:
    said = json.loads((pretrained_folder(name) / EVALUATION).read_text())
    assert said["episodes"] >= 200
    episodes = 24
    found = evaluate(rmc_rl.load(pretrained=name), episodes, greedy=False, seed=said["seed"] + said["episodes"])
    deviation = said["ci95_return_sampled"] / 1.96 * math.sqrt(said["episodes"])  # of one episode
    assert abs(found.mean - said["mean_return_sampled"]) < 4 * deviation / math.sqrt(episodes)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UserError, match=r"^pretrained=pong is not known: .*minipacman-viewport.* came with"):
        rmc_rl.load(pretrained="pong")
    with pytest.raises(UserError, match=r"^pretrained=\.\. is not known"):
        pretrained_folder("..")


def test_an_agent_and_a_run_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^pretrained=minipacman-viewport and run=latest name two agents: leave one"):
        rmc_rl.load("latest", pretrained="minipacman-viewport")


def test_there_is_nothing_else_in_the_folders() -> None:
    files = {"README.md", "config.yaml", "evaluation.json", "metrics.csv", "versions.json"}
    for name in NAMES:
        found = {str(path.relative_to(HERE / name)) for path in (HERE / name).rglob("*") if path.is_file()}
        assert found == files | {f"{WEIGHTS}/checkpoint.json", f"{WEIGHTS}/state.safetensors"}
