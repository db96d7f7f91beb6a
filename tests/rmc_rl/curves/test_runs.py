from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from rmc_rl.curves import runs as module
from rmc_rl.curves.runs import find_runs, read_run
from rmc_rl.errors import UserError
from tests.rmc_rl.recorded import write_run


def _written(folder: Path, when: int) -> Path:
    os.utime(folder / "metrics.csv", (when, when))
    return folder


# Reading one


def test_a_run_folder_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", returns=[float("nan"), 0.5, 0.75], settings={"seed": 7})
    run = read_run(folder)
    assert run.name == "a"
    assert run.steps == 3000
    assert run.environment == "repeat-first"
    assert run.settings["seed"] == 7
    assert run.settings["learner.learning_rate"] == 6e-4
    assert run.settings["core.name"] == "rmc"
    assert run.settings["modules"] == []
    assert run.versions["commit"] == "abc123"
    assert run.evaluation == {}
    np.testing.assert_array_equal(run.columns["return_mean"], [np.nan, 0.5, 0.75])
    x, y = run.curve("steps", "return_mean")
    np.testing.assert_array_equal(x, [2000, 3000])  # before the first episode has ended there is nothing
    np.testing.assert_array_equal(y, [0.5, 0.75])
    assert run.last("return_mean") == 0.75
    assert np.isnan(run.last("no such"))


def test_numbers_beyond_drawing_are_left_out(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", returns=[1.0, float("inf"), -1e300, 2.0]))
    np.testing.assert_array_equal(run.curve("steps", "return_mean")[1], [1, 2])


def test_what_lies_below_zero_is_not_along_x(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", returns=[1, 2, 3], columns={"steps": [-20, 0, 20]}))
    np.testing.assert_array_equal(run.curve("steps", "return_mean"), [[0, 20], [2, 3]])


def test_whole_numbers_beyond_floating_point_are_infinite(tmp_path: Path) -> None:
    """A configuration or a record from elsewhere may hold them, even too long to be written as text."""
    folder = write_run(tmp_path / "a")
    config = folder / "config.yaml"
    config.write_text(config.read_text() + f"mine: {{large: [1, 0x{'f' * 9000}], small: -1{'0' * 400}}}\n")
    (folder / "evaluation.json").write_text(f'{{"mean_return_sampled": 1{"0" * 400}}}')
    run = read_run(folder)
    assert run.settings["mine.large"] == [1, math.inf]
    assert run.settings["mine.small"] == -math.inf
    assert run.evaluation == {"mean_return_sampled": math.inf}


@pytest.mark.parametrize("rest", ["4000,", "4000,4", "\n", "", "4000,0.2\r\n"])
def test_a_line_that_is_being_written_is_left_out(tmp_path: Path, rest: str) -> None:
    folder = write_run(tmp_path / "a")
    with (folder / "metrics.csv").open("a") as file:
        file.write(rest)
    np.testing.assert_array_equal(read_run(folder).columns["steps"], [1000, 2000, 3000])


def test_what_a_resumed_run_did_again_counts(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", returns=[1, 2, 3, 4, 5], columns={"steps": [100, 200, 300, 200, 250]})
    run = read_run(folder)
    np.testing.assert_array_equal(run.columns["steps"], [100, 200, 250])
    np.testing.assert_array_equal(run.columns["return_mean"], [1, 4, 5])


def test_along_what_stands_still_the_last_line_counts(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", returns=[1, 2, 3], columns={"episodes": [0, 0, 4]}))
    x, y = run.curve("episodes", "return_mean")
    np.testing.assert_array_equal(x, [0, 4])
    np.testing.assert_array_equal(y, [2, 3])


def test_an_unknown_column_is_named_with_its_neighbours(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a"))
    with pytest.raises(UserError, match=r"has no column 'return_men': did you mean 'return_mean'"):
        run.curve("steps", "return_men")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not name the columns"),
        ("loss,return_mean\n1,2\n", "does not name the columns"),
        ("steps,loss,loss\n1,2,3\n", "does not name the columns"),
        ("steps,loss\n", "holds no line of metrics yet"),
        ("steps,loss\n10,2", "holds no line of metrics yet"),
        ("steps,loss\n,2\n", "holds no line of metrics yet"),
        ("steps,loss\n10,<script>alert(1)</script>\n", "holds '<script>alert.*' in column 'loss', where a number"),
        ("steps,loss\nten,2\n", "holds 'ten' in column 'steps'"),
        ('steps,loss\n1,"' + "9" * 200_000 + "\n", "is not a metrics file"),
        (b"\xff\xfe\x00", "it is not text"),
    ],
)
def test_what_is_no_metrics_file_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "metrics.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_evaluation_is_read_as_the_verb_printed_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    record = {"mean_return_sampled": 3.5, "episodes": 200}
    printed = " sampled: return 3.50 ± 0.10\n" + json.dumps(record) + "\n"
    for text in (json.dumps(record, indent=1), printed):
        (folder / "evaluation.json").write_text(text)
        assert read_run(folder).evaluation == record
    (folder / "evaluation.json").write_text("3\n")
    with pytest.raises(UserError, match=r"evaluation\.json does not hold a JSON object: remove it"):
        read_run(folder)
    (folder / "evaluation.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="does not hold a JSON object"):
        read_run(folder)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "versions.json", "evaluation.json"])
def test_a_link_to_outside_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    private = tmp_path / "private"
    private.write_text('{"token": "precious"}')
    folder = write_run(tmp_path / "a")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(private)
    with pytest.raises(UserError, match=f"{name} is a link to outside the run folder"):
        read_run(folder)


def test_a_run_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(write_run(tmp_path / "a"))
    assert read_run(tmp_path / "alias").name == "a"


def test_a_file_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_FILE", 10)
    with pytest.raises(UserError, match=r"metrics\.csv is too large"):
        read_run(write_run(tmp_path / "a"))


def test_nothing_in_a_configuration_is_made_or_resolved(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    for forged in ("a: !!python/object/apply:os.getcwd []\n", "a: &x [1]\nb: *x\n", "a: ${oc.env:HOME}\n"):
        (folder / "config.yaml").write_text(forged)
        with pytest.raises(UserError, match=r"config\.yaml holds"):
            read_run(folder)


def test_a_configuration_of_another_version_is_read_all_the_same(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "config.yaml").write_text("env: {name: old-game}\nof_before: {key: [1, {a: 2}]}\nempty: {}\n")
    run = read_run(folder)
    assert run.environment == "old-game"
    assert run.settings == {"env.name": "old-game", "of_before.key": [1, {"a": 2}], "empty": {}}
    (folder / "config.yaml").write_text("1: 2\nenv: {3: 4, true: 5}\nmissing: ???\n")
    assert read_run(folder).settings == {"1": 2, "env.3": 4, "env.True": 5, "missing": "???"}
    assert read_run(folder).environment == "unknown"


# Finding them


def test_runs_are_found_by_path_name_pattern_and_as_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "runs"
    a, b = (_written(write_run(base / name), when) for name, when in (("a-rmc-0", 2000), ("b-rmc-1", 1000)))
    (base / "sweeps").mkdir()
    (base / "begun").mkdir()
    (base / "begun" / "config.yaml").touch()
    runs_dir = str(base)
    assert find_runs(["latest"], None, runs_dir) == [a]
    assert find_runs(["b-rmc-1", str(a)], None, runs_dir) == [b, a]
    assert find_runs(["*-rmc-*"], None, runs_dir) == [a, b]
    assert find_runs([f"{base}/*"], None, runs_dir) == [a, b]
    assert find_runs(["?-rmc-1", "latest", "b-rmc-1"], None, runs_dir) == [b, a], "each once"
    monkeypatch.chdir(tmp_path)
    assert find_runs(["runs/*"], None, "runs") == [Path("runs/a-rmc-0"), Path("runs/b-rmc-1")]


def test_a_name_that_looks_like_a_pattern_is_first_a_name(tmp_path: Path) -> None:
    odd = write_run(tmp_path / "run[1]")
    write_run(tmp_path / "run1")
    assert find_runs(["run[1]"], None, str(tmp_path)) == [odd]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nowhere", r"the run nowhere does not exist .runs=latest takes the newest"),
        ("no*where", r"the run no\*where matches no run folder with metrics"),
        ("empty", "empty is not a run folder of rmc-rl: it holds no config.yaml"),
        ("file", "file is a file"),
        ("begun", r"begun holds no metrics\.csv: there is nothing to draw yet"),
        ("below", r"it holds no config.yaml .runs='.*below/\*' takes the runs in it"),
        ("x" * 300, "cannot name a run folder"),
        ("zero\0byte", "cannot name a run folder|does not exist"),
    ],
)
def test_a_word_that_names_no_run_says_why(tmp_path: Path, word: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").touch()
    write_run(tmp_path / "below" / "a")
    with pytest.raises(UserError, match=message):
        find_runs([word], None, str(tmp_path))


def test_there_is_no_latest_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run with metrics in .*: train first"):
        find_runs(["latest"], None, str(tmp_path))


def test_the_runs_of_a_group(tmp_path: Path) -> None:
    a0 = _written(write_run(tmp_path / "a0", settings={"group": "a"}), 1000)
    a1 = _written(write_run(tmp_path / "a1", settings={"group": "a"}), 4000)
    b0 = _written(write_run(tmp_path / "b0", settings={"group": "b"}), 3000)
    _written(write_run(tmp_path / "alone"), 5000)
    broken = write_run(tmp_path / "broken", settings={"group": "a"})
    (broken / "config.yaml").write_text("group: [")
    assert find_runs(["latest"], "a", str(tmp_path)) == [a0, a1]
    assert find_runs(["latest"], "b", str(tmp_path)) == [b0]
    assert find_runs(["latest"], "latest", str(tmp_path)) == [a0, a1], "the one written last, of those with a group"
    with pytest.raises(UserError, match=r"no run in .* has group=c: known are: a, b"):
        find_runs(["latest"], "c", str(tmp_path))


@pytest.mark.parametrize("group", ["a", "latest"])
def test_no_run_has_a_group(tmp_path: Path, group: str) -> None:
    write_run(tmp_path / "alone")
    with pytest.raises(UserError, match=rf"has group={group}: none of its runs belongs to a group"):
        find_runs(["latest"], group, str(tmp_path))
