import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmc_envs.catalogue import SHORT_NAMES
from rmc_envs.play import main
from rmc_envs.recording import Playthrough, Replay, load, save
from rmc_envs.repeat_first import RepeatFirstEnv

Typist = Callable[..., None]


@pytest.fixture
def typist(headless_window: None, monkeypatch: pytest.MonkeyPatch) -> Typist:
    """Sets what happens at each picture that a window shows: keys pressed, "close", "interrupt" or nothing."""
    pygame = pytest.importorskip("pygame")

    def types(*script: str) -> None:
        left = list(script)

        def flip() -> None:
            for word in left.pop(0).split() if left else ["close"]:
                if word == "interrupt":
                    raise KeyboardInterrupt
                if word == "close":
                    pygame.event.post(pygame.event.Event(pygame.QUIT))
                else:
                    key = pygame.key.key_code(word)
                    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=""))
                    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))

        monkeypatch.setattr(pygame.display, "flip", flip)

    return types


def call(*words: str) -> int | str:
    """The exit code of the command, or the message it exits with."""
    try:
        main(words)
    except SystemExit as error:
        return error.code or 0
    return 0


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_every_game_is_played_recorded_and_replayed(
    name: str, typist: Typist, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "game.json"
    pressed = "0 1 2" if name == "repeat-first" else "up left right"
    typist("", pressed, "r", pressed, "", "q")
    assert call(name, "--seed", "7", "--fps", "0", "--record", str(path)) == 0
    recording = load(path)
    assert (recording.id, recording.seed) == (SHORT_NAMES[name], 7)
    assert [len(episode.actions) for episode in recording.episodes] == [3, 3]
    lines = capsys.readouterr().out.splitlines()
    scores = [f"{episode.score:g}" for episode in recording.episodes]
    assert lines == [
        f"recorded in {path}",
        f"episode 1: score {scores[0]} in 3 steps, left",
        f"episode 2: score {scores[1]} in 3 steps, left",
        f"{SHORT_NAMES[name]}, --seed 7",
    ]
    typist(*[""] * 30, "q")
    assert call("--replay", str(path), "--fps", "1000") == 0
    assert capsys.readouterr().out.splitlines() == [*lines[1:], "reproduced: the game came out as recorded"]


def test_the_clock_runs_and_options_reach_the_game(
    typist: Typist, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "game.json"
    typist("left", *[""] * 10)
    words = ("task=avoid", "max_steps=6", "--record", str(path), "--seed", "1", "--fps", "500")
    assert call("rmc/MiniPacman-v0", *words) == 0
    recording = load(path)
    assert recording.options == {"task": "avoid", "max_steps": 6}
    assert recording.episodes[0].actions == [3, 0, 0, 0, 0, 0]
    assert recording.episodes[0].end == "truncated"
    assert "in 6 steps, truncated" in capsys.readouterr().out


@pytest.mark.parametrize(("ending", "code"), [("close", 0), ("interrupt", 130)])
def test_what_was_played_is_written_however_it_ends(
    ending: str, code: int, typist: Typist, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "game.json"
    typist("1", "2 3", ending)
    assert call("repeat-first", "--record", str(path)) == code
    assert load(path).episodes[0].actions == [1, 2, 3]
    assert os.listdir(path.parent) == ["game.json"]
    assert "in 3 steps, left" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("name", "exit_code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_record_too(name: str, exit_code: int, headless_window: None, tmp_path: Path) -> None:
    path = tmp_path / "game.json"
    code = (
        "import os, runpy, signal, sys, pygame\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"  # whoever runs the tests may ignore it
        "def flip():\n"
        "    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_1, unicode='1'))\n"
        "    flips.append(1)\n"
        f"    if len(flips) == 4: os.kill(os.getpid(), signal.{name})\n"
        "flips, pygame.display.flip = [], flip\n"
        f"sys.argv = ['play', 'repeat-first', '--record', {str(path)!r}]\n"
        "runpy.run_module('rmc_envs.play', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == exit_code, done.stderr
    assert set(load(path).episodes[0].actions) == {1}
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_signal_amid_a_step_leaves_a_whole_recording(
    typist: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RepeatFirstEnv.step

    def interrupted(env: RepeatFirstEnv, action: int) -> Any:
        outcome = step(env, action)
        taken.append(action)
        if len(taken) == 4:  # the first is the one that compiles
            os.kill(os.getpid(), signal.SIGINT)
        return outcome

    taken: list[int] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        typist("1", "2", "3", "1", "2")
        with monkeypatch.context() as patch:
            patch.setattr(RepeatFirstEnv, "step", interrupted)
            assert call("repeat-first", "--record", str(tmp_path / "game.json")) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    recording = load(tmp_path / "game.json")
    assert recording.episodes[0].actions == [1, 2, 3]
    replay = Replay(recording)
    while not replay.done:
        replay.advance()
    assert replay.difference is None


def test_nothing_played_is_not_written(typist: Typist, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "game.json"
    path.write_text("before")
    typist("", "r", "close")
    assert call("repeat-first", "--record", str(path)) == 0
    assert path.read_text() == "before"
    assert capsys.readouterr().out == f"nothing was played: {path} was not written\n"


def test_without_a_seed_games_differ(typist: Typist, tmp_path: Path) -> None:
    seeds = set()
    for number in range(3):
        typist("1", "close")
        assert call("repeat-first", "--record", str(tmp_path / f"{number}.json")) == 0
        seeds.add(load(tmp_path / f"{number}.json").seed)
    assert len(seeds) == 3


def recorded(path: Path) -> None:
    """Write a file of four steps."""
    playthrough = Playthrough("rmc/RepeatFirst-v0", {}, seed=1)
    for action in (0, 1, 2, 3):
        playthrough.step(action)
    save(path, playthrough.recording())


def test_a_replay_whose_window_is_closed_is_checked_to_its_end(
    typist: Typist, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path / "game.json")
    typist("close")
    assert call("--replay", str(tmp_path / "game.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "in 4 steps, left" in lines[0]
    assert lines[-1] == "reproduced: the game came out as recorded"


def test_a_replay_that_differs_says_where(typist: Typist, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "game.json"
    recorded(path)
    recording = replace(load(path), version="0.0.1")
    recording.episodes[0].rewards[2] = 5.0
    save(path, recording)
    typist(*[""] * 20, "q")
    assert call("--replay", str(path), "--fps", "1000") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("not reproduced: episode 1, step 3: the reward was 5, now it is 0")
    assert lines[-1].startswith("recorded with rmc-envs 0.0.1, played with ")


def test_damaged_recordings_give_one_line(typist: Typist, tmp_path: Path) -> None:
    path = tmp_path / "game.json"
    recorded(path)
    path.write_bytes(path.read_bytes()[:-9])
    assert call("--replay", str(path)) == (
        f"error: {path} is not a recording, or is damaged: it must be JSON with format 'rmc-envs recording 1'"
    )
    assert call("--replay", str(tmp_path)) == f"error: {tmp_path} cannot be read (Is a directory)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], f"a game must be named: {', '.join(SHORT_NAMES)}"),
        (["minipac"], "game must be one of boxworld, .* got 'minipac' \\(did you mean 'minipacman'\\?\\)"),
        (["minipacman", "tsk=hunt"], r"must be one of task, max_steps, .* got 'tsk' \(did you mean 'task'\?\)"),
        (["minipacman", "task=hnt"], "task must be one of regular, .* got 'hnt'$"),
        (["boxworld", "solution_length=4,1"], "solution_length must be two integers .* got \\(4, 1\\)$"),
        (["repeat-first", "length"], "options must be key=value, got 'length'"),
        (["repeat-first", "num_symbols=64"], "64 actions are too many for a keyboard: at most 34"),
        (["repeat-first", "--seed", "-1"], "--seed: must be an integer in 0 .. 18446744073709551615, got '-1'"),
        (["repeat-first", "--seed", str(2**64)], "--seed: must be an integer in 0 .. 18446744073709551615"),
        (["repeat-first", "--fps", "nan"], "--fps: must be a number in 0 .. 1000, got 'nan'"),
        (["repeat-first", "--fps", "-1"], "--fps: must be a number in 0 .. 1000, got '-1'"),
        (["repeat-first", "--rec", "a"], "unrecognized arguments: --rec"),
        (["repeat-first", "--replay", "a"], "--replay takes the game, its options and its seed from the file"),
        (["--seed", "1", "--replay", "a"], "--replay takes the game, its options and its seed from the file"),
    ],
)
def test_bad_input_is_one_error(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert re.search(message, errors[-1]), errors[-1]
    assert all(line.startswith(("usage: ", " " * 7)) for line in errors[:-1])


def test_a_target_that_cannot_be_written_is_refused_before_play(typist: Typist, tmp_path: Path) -> None:
    typist("interrupt")
    assert call("repeat-first", "--record", str(tmp_path)) == f"error: {tmp_path} is a folder: name a file in it"


def test_missing_display_and_missing_pygame_are_one_line(
    headless_window: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    assert str(call("repeat-first")).startswith("error: no window can be opened (")
    assert capsys.readouterr().out == ""
    monkeypatch.setitem(sys.modules, "pygame", None)
    monkeypatch.delitem(sys.modules, "rmc_envs.window", raising=False)
    assert 'pip install "rmc-envs[render]"' in str(call("repeat-first"))


def test_help_lists_the_games_and_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    for name, env_id in SHORT_NAMES.items():
        assert f"  {name}  ({env_id})" in text
    for words in ("task=regular", "solution_length=1,4", "solution_length=1,5", "length=8", "--record FILE"):
        assert words in text
