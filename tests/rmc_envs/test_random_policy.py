import numpy as np
import pytest

from rmc_envs.random_policy import REFERENCE, REFERENCE_EPISODES, main, random_episodes, statistics


@pytest.mark.parametrize("task", list(REFERENCE))
def test_random_play_is_that_of_the_original_code(task: str) -> None:
    """Within three standard errors of both samples together; published lengths are rounded to whole steps."""
    original = REFERENCE[task]
    ours = statistics(*random_episodes(task, 6000, seed=0))
    assert abs(ours.mean_return - original.mean_return) < 3 * np.hypot(ours.return_error, original.return_error)
    # no error of the original's mean length is known: that of as many episodes of ours stands for it
    length_error = ours.length_error * np.sqrt(6000 / REFERENCE_EPISODES)
    assert abs(ours.mean_length - original.mean_length) < 0.5 + 3 * np.hypot(ours.length_error, length_error)
    assert abs(ours.median_length - original.median_length) <= 2
    if original.median_return is not None:
        assert abs(ours.median_return - original.median_return) <= 0.5
    # the spread of the returns: standard errors are published with two decimals
    error_at_their_size = ours.return_error * np.sqrt(6000 / REFERENCE_EPISODES)
    assert error_at_their_size == pytest.approx(original.return_error, abs=0.02)


def test_each_game_gives_its_first_episodes() -> None:
    few, _ = random_episodes("avoid", 200, seed=3)
    more, lengths = random_episodes("avoid", 600, seed=3)
    np.testing.assert_array_equal(few.reshape(100, 2), more.reshape(100, 6)[:, :2])
    assert (lengths >= 1).all()


@pytest.mark.parametrize("episodes", [0, -100, 150])
def test_wrong_number_of_episodes(episodes: int) -> None:
    with pytest.raises(ValueError, match="episodes"):
        random_episodes("regular", episodes, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_wrong_seeds(seed: int) -> None:
    with pytest.raises(ValueError, match=r"seed must be in 0 \.\. \d+, got"):
        random_episodes("regular", 100, seed)


def test_command_prints_a_line_for_each_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["random_policy", "--episodes", "100"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == list(REFERENCE)
    assert "9.93" in lines[1]


def test_command_refuses_a_wrong_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["random_policy", "--episodes", "7"])
    with pytest.raises(SystemExit):
        main()
