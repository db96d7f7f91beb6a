from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pygame
import pytest
from PIL import Image

from rmc_agents import LSTMCore
from rmc_rl.errors import UserError
from rmc_rl.policy import load
from rmc_rl.trainer import train
from rmc_rl.viewer.selection import Selection
from rmc_rl.watch import WatchOptions, main, parse_size, select


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=8", "actor.num_envs=8", "total_steps=2000"]
    return train([*words, "env=repeat-first", "log.display=none", f"runs_dir={folder}"]).run


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of the command with these words."""
    monkeypatch.setattr(sys, "argv", ["watch", *words])
    try:
        main()
    except SystemExit as error:
        return int(str(error.code))
    return 0


def test_a_recording_needs_no_display(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    pygame.display.quit()
    path = tmp_path / "out.gif"
    assert call(monkeypatch, f"run={run}", f"record={path}", "episodes=2", "speed=20", "seed=5", "size=400x300") == 0
    assert not pygame.display.get_init()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("episode 1 (seed 5): return ")
    assert lines[0].endswith(" in 8 steps, terminated")
    assert lines[1].startswith("episode 2 (seed 6): return ")
    with Image.open(path) as file:
        assert file.size == (400, 300)
        assert file.n_frames == 2 * (8 + 1 + 30)
    assert lines[2].startswith(f"{path}: 78 pictures, ")


def test_a_window_plays_the_episodes_and_closes(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rmc_rl.viewer.window.EPISODE_END_SECONDS", 0.01)
    words = ["speed=1000", "episodes=3", "size=320x240", "max_steps=4", "greedy=true"]
    assert call(monkeypatch, f"run={run}", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines] == ["episode 1", "episode 2", "episode 3"]
    assert all(line.endswith(" in 4 steps, cut short") for line in lines)
    assert not pygame.display.get_init()


def test_an_agent_of_the_package_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["record=out.gif", "max_steps=3", "size=400x300"]
    assert call(monkeypatch, "pretrained=minipacman-viewport", *words) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(" in 3 steps, cut short")
    assert [path.name for path in tmp_path.iterdir()] == ["out.gif"]
    assert call(monkeypatch, "pretrained=minipacman-viewport", "run=latest", *words) == 1
    assert "pretrained=minipacman-viewport and run=latest name two agents" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [([], "interrupted\n"), (["record=a.mp4"], "nothing was recorded\n")])
def test_ctrl_c_ends_it_without_a_traceback(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rmc_rl.viewer.panels.Panels.draw", interrupt)
    assert call(monkeypatch, f"run={run}", *words) == 130
    assert capsys.readouterr().err.endswith(message)
    assert not pygame.display.get_init()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("record=out.avi", "must end in .gif, .mp4 or .webm"),
        ("size=huge", "WIDTHxHEIGHT"),
        ("size=10x10", "from 320x240 to 7680x4320"),
        ("speed=0", "speed=0: from 0.1 to 1000"),
        ("speed=nan", "speed=nan"),
        ("speed=1e9", "speed=1e+09: from 0.1 to 1000"),
        ("episodes=0", "at least 1"),
        ("seed=9223372036854775808", "seed=9223372036854775808 is too large: at most 2^63"),
        ("max_steps=0", "at least 1"),
        ("sped=8", "did you mean 'speed'"),
        ("checkpoint=none", "has no checkpoint 'none'"),
        ("head=5", "head=5: mean, or one of the heads 1 to 4, is needed"),
        ("head=0", "head=0: mean, or one of the heads 1 to 4"),
        ("head=first", "head=first: mean, or one of the heads 1 to 4"),
        ("block=2", "block=2: this memory has the blocks 1 to 1"),
        ("block=0", "at least 1"),
    ],
)
def test_bad_words_are_named(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, f"run={run}", word) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_core_that_does_not_attend_has_no_heads_to_choose(run: Path) -> None:
    policy = load(run)
    core = LSTMCore(policy.agent.core.input_size, hidden_size=4)
    policy.agent.core, policy.config.core["name"] = core, "lstm"
    assert select(WatchOptions(), policy) == Selection()
    for options, name in ((WatchOptions(head="1"), "head"), (WatchOptions(block=1), "block")):
        with pytest.raises(UserError, match=f"{name}: the memory of core 'lstm' does not attend: leave it out"):
            select(options, policy)


def test_head_and_block_are_counted_from_one(run: Path) -> None:
    policy = load(run)
    assert select(WatchOptions(head="4"), policy) == Selection(head=3)
    assert select(WatchOptions(block=1), policy) == Selection(block=0)
    assert select(WatchOptions(head="1", block=1), policy) == Selection(head=0, block=0)


def test_a_recording_shows_the_chosen_head(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for head in ("mean", "1", "2"):
        path = tmp_path / f"{head}.gif"
        words = [f"run={run}", f"record={path}", "max_steps=2", "seed=5", "size=960x540", f"head={head}"]
        assert call(monkeypatch, *words) == 0
        with Image.open(path) as file:
            pictures.append(file.convert("RGB").tobytes())
    assert len(set(pictures)) == 3


def test_the_size_is_read() -> None:
    assert parse_size(None) is None
    assert parse_size("1280x720") == (1280, 720)
    assert parse_size(" 640X480") == (640, 480)
    for text in ("1280", "1280x", "axb", "-1x300", "100000x100"):
        with pytest.raises(UserError, match="size="):
            parse_size(text)


def test_help_and_import_need_no_display_and_no_pygame(tmp_path: Path) -> None:
    code = (
        "import sys, rmc_rl.watch; assert 'pygame' not in sys.modules; sys.argv[1:] = ['--help']; rmc_rl.watch.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "SDL_VIDEODRIVER")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "record=null" in done.stdout
    assert "out.gif" in done.stdout
