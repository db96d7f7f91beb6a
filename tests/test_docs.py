"""The pages of the games say what the class docstrings say, and their pictures move."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rmc_envs import ENVIRONMENTS
from rmc_envs.catalogue import SHORT_NAMES, environment_class

ROOT = Path(__file__).parent.parent
PAGES, IMAGES = ROOT / "docs" / "games", ROOT / "docs" / "images"


@pytest.fixture(scope="module")
def make_games() -> Any:
    """The script."""
    spec = importlib.util.spec_from_file_location("make_games", ROOT / "docs" / "make_games.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frames(name: str) -> Iterator[np.ndarray]:
    with Image.open(IMAGES / f"{name}.gif") as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            yield np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pages_are_what_the_docstrings_give_now(name: str, make_games: Any) -> None:
    written = (PAGES / f"{name}.md").read_text()
    assert written == make_games.page(name), "run: python docs/make_games.py --no-pictures"


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pages_hold_the_whole_docstring(name: str) -> None:
    lines = (PAGES / f"{name}.md").read_text().splitlines()
    plain = [re.sub(r"\[(``\w+``)\]\([\w-]+\.md\)", r"\1", line) for line in lines]
    documented = environment_class(SHORT_NAMES[name]).__doc__.splitlines()
    assert set(map(str.strip, documented)) <= set(map(str.strip, plain))
    assert next(line for line in lines if line.startswith("## ")) == "## Description"


def test_every_game_has_one_page_and_no_page_is_left_over() -> None:
    assert {path.stem for path in PAGES.iterdir()} == set(SHORT_NAMES)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", (PAGES / f"{name}.md").read_text())
    assert f"../images/{name}.gif" in targets
    for target in targets:
        assert (PAGES / target).exists(), target


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pictures_move_and_are_small(name: str) -> None:
    assert (IMAGES / f"{name}.gif").stat().st_size < 300_000
    assert len({frame.tobytes() for frame in frames(name)}) > 10


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pictures_show_what_the_script_plays(name: str, make_games: Any) -> None:
    moments = [frame for frame, _, _ in make_games.play(name)]
    played = [moments[0], *(after for before, after in pairwise(moments) if (before != after).any())]
    shown = list(frames(name))
    assert len(shown) == len(played), "run: python docs/make_games.py"
    for was, now in zip(shown, played, strict=True):
        assert abs(was.astype(int) - now).max() < 60, "run: python docs/make_games.py"  # a GIF has few colours


def test_the_scripted_players_are_worth_watching(make_games: Any) -> None:
    rewards = {name: [reward for _, reward, _ in make_games.play(name)] for name in SHORT_NAMES}
    for name in ("boxworld", "boxworld-viewport"):
        assert sum(rewards[name]) == 2 * (4 + 10)  # two levels solved
        assert min(rewards[name]) == 0
    for name in ("minipacman", "minipacman-viewport"):
        eaten = rewards[name]
        assert len(eaten) == 81  # alive to the end
        assert sum(reward >= 5 for reward in eaten) >= 2  # ghosts
        assert sum(reward > 0 for reward in eaten) > 50
    assert sum(rewards["repeat-first"]) == pytest.approx(3)


def test_the_readme_lists_every_game_with_its_page() -> None:
    readme = (ROOT / "envs" / "README.md").read_text()
    table = dict(re.findall(r"^\| \[`(rmc/[\w-]+)`\]\(\.\./docs/games/([\w-]+)\.md\) \|", readme, re.MULTILINE))
    assert table == {env_id: name for name, env_id in SHORT_NAMES.items()}
    assert set(table) == set(ENVIRONMENTS)
