import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmc_envs
from rmc_envs.recording import Episode, Playthrough, Recording, RecordingError, Replay, check_target, load, save

IDS = list(rmc_envs.ENVIRONMENTS)
REPEAT = "rmc/RepeatFirst-v0"


def played(env_id: str, actions: np.ndarray, **options: Any) -> Recording:
    """A recording of these actions; after an end, and after every 150th action, another episode begins."""
    playthrough = Playthrough(env_id, options, seed=3)
    for number, action in enumerate(actions):
        if playthrough.over or number % 150 == 149:
            playthrough.restart()
        playthrough.step(int(action) % int(playthrough.env.action_space.n))
    return playthrough.recording()


def replayed(recording: Recording) -> Replay:
    replay = Replay(recording)
    for _ in range(10_000):
        replay.advance()
        if replay.done:
            return replay
    raise AssertionError("the replay does not end")


@pytest.fixture
def recording(fixed_actions: Callable[[int, int, int], np.ndarray]) -> Recording:
    return played(REPEAT, fixed_actions(30, 1, 4)[:, 0], length=6)


@pytest.mark.parametrize("env_id", IDS)
def test_what_was_played_is_played_again(
    env_id: str, fixed_actions: Callable[[int, int, int], np.ndarray], tmp_path: Path
) -> None:
    recording = played(env_id, fixed_actions(400, 1, 5)[:, 0])
    ends = {episode.end for episode in recording.episodes}
    assert "left" in ends
    assert ends & {"terminated", "truncated"}
    save(tmp_path / "game.json", recording)
    loaded = load(tmp_path / "game.json")
    assert loaded == recording
    replay = replayed(loaded)
    assert replay.difference is None
    assert replay.playthrough.recording() == recording
    replay.advance()  # does nothing any more
    assert replay.playthrough.recording() == recording


def test_a_file_says_what_it_is(recording: Recording, tmp_path: Path) -> None:
    save(tmp_path / "game.json", recording)
    record = json.loads((tmp_path / "game.json").read_text())
    assert record["format"] == "rmc-envs recording 1"
    assert record["id"] == REPEAT
    assert record["options"] == {"length": 6}
    assert record["seed"] == 3
    assert record["version"] == rmc_envs.__version__
    assert [len(episode["actions"]) for episode in record["episodes"]] == [6, 6, 6, 6, 6]
    assert {episode["end"] for episode in record["episodes"]} == {"terminated"}


def test_ranges_survive_the_file(tmp_path: Path, fixed_actions: Callable[[int, int, int], np.ndarray]) -> None:
    recording = played("rmc/BoxWorld-v0", fixed_actions(20, 1, 4)[:, 0], solution_length=(2, 2), max_steps=7)
    save(tmp_path / "game.json", recording)
    loaded = load(tmp_path / "game.json")
    assert loaded.options == {"solution_length": [2, 2], "max_steps": 7}
    assert [episode.end for episode in loaded.episodes] == ["truncated", "truncated", "left"]
    assert replayed(loaded).difference is None


def test_nothing_played_is_played_again() -> None:
    replay = Replay(Playthrough(REPEAT, {}, seed=0).recording())
    assert replay.done
    assert replay.difference is None


def test_the_score_is_the_sum_of_rewards() -> None:
    assert Episode([0] * 10, [0.1] * 10).score == 1.0


@pytest.mark.parametrize("step", [0, 3, 5])
def test_another_reward_is_found(recording: Recording, step: int) -> None:
    recording.episodes[1].rewards[step] += 0.5
    difference = replayed(recording).difference
    assert difference is not None
    assert difference.startswith(f"episode 2, step {step + 1}: the reward was 0.")


def test_other_ends_are_found(recording: Recording) -> None:
    first = recording.episodes[0]
    longer = Episode([*first.actions, 0], [*first.rewards, 0.0], "terminated")
    shorter = Episode(first.actions[:4], first.rewards[:4], "terminated")
    for episode, message in (
        (replace(first, end="truncated"), "episode 1, step 6: the episode was truncated, now it is terminated"),
        (replace(first, end="left"), "episode 1, step 6: the episode was going on, now it is terminated"),
        (longer, "episode 1, step 6: the episode was going on, now it is terminated"),
        (shorter, "episode 1, step 4: the episode was terminated, now it is going on"),
    ):
        assert replayed(replace(recording, episodes=[episode])).difference == message


def test_other_observations_are_found() -> None:
    actions = [0, 0, 0]
    recording = played("rmc/MiniPacmanViewport-v0", np.array(actions), outside="wall")
    assert recording.episodes == [Episode(actions, [1.0, 0.0, 0.0], "left")]
    assert replayed(recording).difference is None
    planes = replayed(replace(recording, options={"outside": "wall", "observation": "planes"}))
    assert planes.difference == "rewards and ends are as recorded, but what was seen on the way is not"


def test_another_seed_is_found(recording: Recording) -> None:
    assert replayed(replace(recording, seed=4)).difference is not None


@pytest.mark.parametrize("action", [-1, 4, 2**70])
def test_an_action_the_game_does_not_have_is_a_difference(recording: Recording, action: int) -> None:
    recording.episodes[0].actions[2] = action
    difference = replayed(recording).difference
    assert difference is not None
    assert "action must be in 0 .. 3" in difference


def test_saving_replaces_a_file_or_leaves_it(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "game.json"
    path.write_text("before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RecordingError, match=r"game\.json cannot be written \(No space left on device\)"):
            save(path, recording)
    assert path.read_text() == "before"
    save(path, recording)
    assert load(path) == recording
    assert os.listdir(tmp_path) == ["game.json"]


def test_targets_are_tried_early(tmp_path: Path) -> None:
    check_target(tmp_path / "new" / "folder" / "game.json")
    assert os.listdir(tmp_path / "new" / "folder") == []
    with pytest.raises(RecordingError, match="is a folder"):
        check_target(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="cannot be written"):
        check_target(tmp_path / "file" / "game.json")


def test_damaged_and_foreign_files_are_refused(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "game.json"
    save(path, recording)
    whole = path.read_bytes()
    with pytest.raises(RecordingError, match="cannot be read"):
        load(tmp_path / "none.json")
    with pytest.raises(RecordingError, match="cannot be read"):
        load(tmp_path)
    foreign = [b"", b"null", b"[]", b"{}", b"\x80\x00", whole[:-20], b'{"format": 1}', b"[" * 100_000]
    for content in foreign:
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=r"game\.json is not a recording, or is damaged"):
            load(path)
    refused = 0
    for place in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            loaded = load(path)
        except RecordingError:
            refused += 1
        else:
            assert loaded == recording  # the last digit of a third may be another
    assert refused > 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "CartPole-v1"),
        ("id", ["rmc/RepeatFirst-v0"]),
        ("options", None),
        ("seed", "3"),
        ("seed", True),
        ("version", 1),
        ("observations", None),
        ("episodes", None),
        ("episodes", []),
        ("episodes", [None]),
        ("episodes", [{"actions": [], "rewards": [], "end": "left", "more": 1}]),
        ("episodes", [{"actions": [1.5], "rewards": [0.0], "end": "left"}]),
        ("episodes", [{"actions": [True], "rewards": [0.0], "end": "left"}]),
        ("episodes", [{"actions": 5, "rewards": [0.0], "end": "left"}]),
        ("episodes", [{"actions": [1], "rewards": [], "end": "left"}]),
        ("episodes", [{"actions": [1], "rewards": [float("nan")], "end": "left"}]),
        ("episodes", [{"actions": [1], "rewards": ["0"], "end": "left"}]),
        ("episodes", [{"actions": [1], "rewards": [0.0], "end": "won"}]),
        ("episodes", [{"actions": [1], "rewards": [0.0], "end": ["left"]}]),
        ("episodes", [{"actions": [], "rewards": [], "end": "terminated"}]),
        ("more", 1),
    ],
)
def test_forged_files_are_refused(recording: Recording, tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "game.json"
    save(path, recording)
    path.write_text(forged(path, name, value))
    with pytest.raises(RecordingError, match=r"game\.json was altered"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 2**64),
        ("options", {"length": "6"}),
        ("options", {"length": [6]}),
        ("options", {"num_symbols": 1}),
        ("options", {"render_mode": "human"}),
        ("options", {"max_episode_steps": 3}),
    ],
)
def test_forged_games_are_refused(recording: Recording, tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "game.json"
    save(path, recording)
    path.write_text(forged(path, name, value))
    loaded = load(path)
    with pytest.raises(RecordingError, match="the recorded game cannot be played"):
        Replay(loaded)


def forged(path: Path, name: str, value: Any) -> str:
    """The file's text with another value and the checksum that belongs to it."""
    record = json.loads(path.read_text())
    del record["sha256"]
    record[name] = value
    record["sha256"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return json.dumps(record)
