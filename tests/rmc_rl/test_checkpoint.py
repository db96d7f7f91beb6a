from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rmc_rl import checkpoint as module
from rmc_rl.checkpoint import (
    INFO,
    STATE,
    checkpoint_name,
    checkpoints,
    flatten,
    latest_checkpoint,
    load_checkpoint,
    prune,
    save_checkpoint,
    unflatten,
)
from rmc_rl.errors import UserError
from tests.leftovers import nothing_is_left

TREE: dict[str, Any] = {
    "learner": {
        "agent": {"core.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a/b": np.float32(1.5)},
        "optimizer": {"0": {"step": np.array(7.0)}, "../escape": np.zeros((0, 4), np.float16)},
        "steps": np.int64(-5),
    },
    "actor": {
        "rng": np.array([2**64 - 1, 0], np.uint64),
        "core_state": (np.zeros((2, 1)), (np.ones(3, np.uint8), [np.array(True)])),
        "reset": np.array([True, False]),
        "nothing": {},
        "nobody": (),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "every other": np.arange(6, dtype=np.int32)[::2],
    },
}
INFO_SAVED = {"steps": 12, "return_mean": None, "rate": 1e-5, "names": ["a", "é"], "nested": {"x": True}}


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return isinstance(right, dict) and list(left) == list(right) and all(_same(left[k], right[k]) for k in left)
    if isinstance(left, tuple | list):
        return isinstance(right, tuple) and len(left) == len(right) and all(map(_same, left, right))
    left = np.asarray(left)
    return isinstance(right, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right, equal_nan=True)


def _save(folder: Path, steps: int = 12, value: float = 0.0) -> Path:
    return save_checkpoint(folder, checkpoint_name(steps), {"x": np.full(3, value)}, {"steps": steps})


def _forge(path: Path, **changes: Any) -> None:
    """Change the record as someone who knows how the checksum is made."""
    record = json.loads((path / INFO).read_text())
    for key, value in changes.items():
        record[key] = value
        if value is ...:
            del record[key]
    record.pop("record_sha256", None)
    record["record_sha256"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    (path / INFO).write_text(json.dumps(record))


# What is saved is loaded


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, "best", TREE, INFO_SAVED)
    assert path == tmp_path / "best"
    state, info = load_checkpoint(path)
    assert _same(TREE, state)
    assert info == INFO_SAVED
    assert sorted(os.listdir(tmp_path)) == ["best"]
    assert sorted(os.listdir(path)) == [INFO, STATE]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_tree_comes_back(tmp_path: Path, data: st.DataObject) -> None:
    dtypes = st.sampled_from(["?", "u1", "i1", "i8", "u8", "f2", "f4", "f8"])
    arrays = npst.arrays(dtypes, npst.array_shapes(min_dims=0, min_side=0, max_side=3))
    names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="|"), min_size=1).filter(
        lambda name: name != "__metadata__"
    )
    trees = st.recursive(
        arrays, lambda part: st.dictionaries(names, part, max_size=3) | st.tuples(part, part) | st.tuples()
    )
    tree = data.draw(st.dictionaries(names, trees, max_size=3))
    assert _same(tree, load_checkpoint(save_checkpoint(tmp_path, "step", tree, {}))[0])


def test_flatten_names_leaves_by_their_path() -> None:
    flat = flatten({"a": {"b.c": np.ones(1)}, "d": (np.zeros(2), np.zeros(3))})
    assert {key: len(value) for key, value in flat.items()} == {"a|b.c": 1, "d|0": 2, "d|1": 3}
    structure = {"a": {"b.c": None}, "d": [None, None]}
    assert _same(unflatten(flat, structure), {"a": {"b.c": np.ones(1)}, "d": (np.zeros(2), np.zeros(3))})


def test_leaves_of_the_same_path_are_refused_not_lost(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"two leaves of the state have the path 'a\|b'"):
        save_checkpoint(tmp_path, "x", {"a|b": np.ones(1), "a": {"b": np.zeros(1)}}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("leaf", [None, "text", 1j, 10**30, np.array(["a"]), np.datetime64("2020-01-01"), object()])
def test_a_leaf_that_is_no_number_is_named(leaf: object, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"leaf 'a\|b' is no array of numbers"):
        save_checkpoint(tmp_path, "x", {"a": {"b": leaf}}, {})
    assert list(tmp_path.iterdir()) == []


# All or nothing


def _no_rename(source: Any, target: Any) -> None:
    raise OSError(28, "No space left on device")


def _half_written(tensors: Any, path: Path) -> None:
    path.write_bytes(b"\0" * 10)
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["best", "step-000000000012"])
@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(
    ("owner", "function", "failure"),
    [
        (os, "rename", _no_rename),
        (module, "save_file", _half_written),
        (module, "_sync", lambda path: _no_rename(0, 0)),
    ],
)
def test_a_failure_leaves_the_earlier_checkpoint_and_no_litter(
    name: str,
    existing: bool,
    owner: Any,
    function: str,
    failure: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if existing:
        save_checkpoint(tmp_path, name, {"x": np.zeros(3)}, {"steps": 1})
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, failure)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(tmp_path, name, {"x": np.ones(3)}, {"steps": 2})
    assert os.listdir(tmp_path) == ([name] if existing else [])
    if existing:
        assert load_checkpoint(tmp_path / name)[1] == {"steps": 1}


def test_a_failure_of_the_second_rename_puts_the_replaced_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, "best", {"x": np.zeros(3)}, {"steps": 1})
    rename, calls = os.rename, []

    def second_fails(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="Input/output error"):
        save_checkpoint(tmp_path, "best", {"x": np.ones(3)}, {"steps": 2})
    assert len(calls) == 3
    assert os.listdir(tmp_path) == ["best"]
    assert load_checkpoint(tmp_path / "best")[1] == {"steps": 1}


def test_a_replaced_one_that_cannot_be_put_back_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, "best", {"x": np.zeros(3)}, {"steps": 1})
    rename, calls = os.rename, []

    def all_but_the_first_fail(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", all_but_the_first_fail)
        with pytest.raises(OSError, match="Input/output error"):
            save_checkpoint(tmp_path, "best", {"x": np.ones(3)}, {"steps": 2})
    prune(tmp_path, 2, None)
    assert os.listdir(tmp_path) == ["best"]
    assert load_checkpoint(tmp_path / "best")[1] == {"steps": 1}


def test_a_full_disk_is_an_os_error(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: both are refused by the operating system."""
    _save(tmp_path)
    script = (
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from rmc_rl.checkpoint import save_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    save_checkpoint(Path(sys.argv[1]), 'step-000000000013', {'x': np.zeros(10**5)}, {})\n"
        "except OSError as error:\n"
        "    print('OSError:', error)\n"
    )
    asked = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=120)
    assert "OSError: " in asked.stdout, asked.stderr
    assert os.listdir(tmp_path) == [checkpoint_name(12)]
    load_checkpoint(latest_checkpoint(tmp_path))


def test_a_folder_that_went_away_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _save(tmp_path / "gone")


def test_replacing_the_best(tmp_path: Path) -> None:
    for steps in (1, 2, 3):
        save_checkpoint(tmp_path, "best", {"x": np.full(2, steps)}, {"steps": steps})
    assert os.listdir(tmp_path) == ["best"]
    state, info = load_checkpoint(tmp_path / "best")
    assert (state["x"].tolist(), info) == ([3, 3], {"steps": 3})


# Damage


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path, checkpoint_name(12), {"a": {"w": np.arange(40.0)}, "b": (np.ones(2),)}, INFO_SAVED)


def test_each_altered_byte_is_found(saved: Path) -> None:
    """Or means the same: a tab for a space, a digit of a float below its precision."""
    original = load_checkpoint(saved)
    found = 0
    for name in (INFO, STATE):
        whole = (saved / name).read_bytes()
        for index in range(0, len(whole), 4):
            for flip in (0x01, 0x80, 0xFF):
                altered = bytearray(whole)
                altered[index] ^= flip
                (saved / name).write_bytes(altered)
                try:
                    state, info = load_checkpoint(saved)
                except UserError:
                    found += 1
                else:
                    assert name == INFO
                    assert _same(original[0], state)
                    assert info == original[1]
        (saved / name).write_bytes(whole)
    assert found > 600
    load_checkpoint(saved)


@pytest.mark.parametrize("name", [INFO, STATE])
def test_each_truncation_is_found(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    for length in (0, 1, 8, len(whole) // 2, len(whole) - 2):
        (saved / name).write_bytes(whole[:length])
        with pytest.raises(UserError, match=f"{name}.*remove {saved}"):
            load_checkpoint(saved)
    (saved / name).write_bytes(whole + b"x")
    with pytest.raises(UserError, match=name):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", [INFO, STATE])
def test_a_missing_file_is_named_with_the_remedy(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(UserError, match=f"{saved} lacks {name}: remove {saved} to go on"):
        load_checkpoint(saved)
    (saved / name).mkdir()
    with pytest.raises(UserError, match=f"lacks {name}"):
        load_checkpoint(saved)


def test_a_pipe_or_a_dangling_link_in_place_of_a_file_is_not_waited_for(saved: Path) -> None:
    (saved / INFO).unlink()
    os.mkfifo(saved / INFO)
    with pytest.raises(UserError, match=f"lacks {INFO}"):
        load_checkpoint(saved)
    (saved / INFO).unlink()
    (saved / INFO).symlink_to("/nowhere/at/all")
    with pytest.raises(UserError, match=f"lacks {INFO}"):
        load_checkpoint(saved)


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UserError, match="lacks"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        *(
            "",
            "null",
            "5",
            "[]",
            "{}",
            '"text"',
            '{"format": 2}',
            '{"format": 1}',
            "{",
            "[" * 100_000,
            '{"a":' * 100_000,
        ),
        *('{"format": 1, "x": ' + "9" * 5000 + "}", '{"format": 1, "x": "\\ud800"}', "\x00", '{"format": NaN}'),
    ],
)
def test_foreign_json_is_refused(content: str, saved: Path) -> None:
    (saved / INFO).write_text(content)
    with pytest.raises(UserError, match=INFO):
        load_checkpoint(saved)


def test_bytes_that_are_no_text_are_refused(saved: Path) -> None:
    (saved / INFO).write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match=f"{INFO} cannot be read"):
        load_checkpoint(saved)


def _deep(levels: int) -> Any:
    tree: Any = None
    for _ in range(levels):
        tree = [tree]
    return tree


@pytest.mark.parametrize(
    "structure",
    [
        *(
            5,
            1.5,
            True,
            "abc",
            "",
            [],
            {},
            None,
            {"a": 5},
            {"a": {"w": "x"}},
            [None],
            {"a": None},
            {"a": {"w": None}},
            ...,
        ),
        {"a": {"w": None}, "b": [None, None]},
        {"a": {"w": None}, "b": [None], "c": [[]] * 3, "d": None},
        {"x": _deep(400)},
        {"a": {"w": None}, "b": {"0": None}, "..": {"..": None}},
        {"a|w": 7, "b": [None]},
    ],
)
def test_a_forged_structure_is_refused(structure: Any, saved: Path) -> None:
    _forge(saved, structure=structure)
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "changes", [{"info": ...}, {"info": 5}, {"info": []}, {"info": None}, {"state_sha256": ...}, {"state_sha256": 5}]
)
def test_a_forged_record_is_refused(changes: dict[str, Any], saved: Path) -> None:
    _forge(saved, **changes)
    with pytest.raises(UserError, match=STATE):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 8,
        (2**63).to_bytes(8, "little") + b"{}",
        b"\x80\x04\x95" + b"c" * 50,  # how a pickle starts
        len(b'{"x":{"dtype":"F64","shape":[4],"data_offsets":[0,8]}}').to_bytes(8, "little")
        + b'{"x":{"dtype":"F64","shape":[4],"data_offsets":[0,8]}}'
        + bytes(8),
        len(b'{"x":{"dtype":"F64","shape":[99999999999],"data_offsets":[0,799999999992]}}').to_bytes(8, "little")
        + b'{"x":{"dtype":"F64","shape":[99999999999],"data_offsets":[0,799999999992]}}',
        len(b'{"x":{"dtype":"NOPE","shape":[1],"data_offsets":[0,8]}}').to_bytes(8, "little")
        + b'{"x":{"dtype":"NOPE","shape":[1],"data_offsets":[0,8]}}'
        + bytes(8),
    ],
)
def test_a_forged_state_is_refused(raw: bytes, saved: Path) -> None:
    (saved / STATE).write_bytes(raw)
    _forge(saved, state_sha256=hashlib.sha256(raw).hexdigest(), structure={"x": None})
    with pytest.raises(UserError, match=f"{STATE} cannot be read"):
        load_checkpoint(saved)


# Which there are, and which are kept


def test_checkpoints_are_numbered_folders_oldest_first(tmp_path: Path) -> None:
    assert checkpoints(tmp_path) == []
    assert checkpoints(tmp_path / "nowhere") == []
    steps = [500, 7, 10**12 + 3, 10**11]
    for number in steps:
        _save(tmp_path, number)
    for other in (
        "best",
        "step-x",
        "step-000000000500.bak",
        "step-000000000500-old",
        "step-5",
        "step-",
        ".writing-abc",
    ):
        (tmp_path / other).mkdir()
    (tmp_path / "step-999999999999").touch()  # a file
    assert [int(path.name[5:]) for path in checkpoints(tmp_path)] == sorted(steps)
    assert latest_checkpoint(tmp_path).name == f"step-{10**12 + 3}"
    prune(tmp_path, keep=1, every_steps=None)
    assert (tmp_path / "step-x").is_dir()
    assert (tmp_path / "step-000000000500.bak").is_dir()


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path} holds no checkpoint"):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("keep", "every", "kept"),
    [
        (2, None, [250, 300]),
        (1, None, [300]),
        (0, None, []),
        (9, None, [10, 90, 105, 110, 210, 250, 300]),
        (1, 100, [105, 210, 300]),  # the first at or after each multiple
        (1, 1, [10, 90, 105, 110, 210, 250, 300]),
        (1, 10**9, [300]),
        (2, 90, [90, 210, 250, 300]),
    ],
)
def test_prune_keeps_the_newest_and_the_multiples(
    keep: int, every: int | None, kept: list[int], tmp_path: Path
) -> None:
    for steps in (10, 90, 105, 110, 210, 250, 300):
        (tmp_path / checkpoint_name(steps)).mkdir()
    (tmp_path / "best").mkdir()
    for _ in range(2):  # what is kept once is kept again
        prune(tmp_path, keep, every)
        assert [int(path.name[5:]) for path in checkpoints(tmp_path)] == kept
    assert (tmp_path / "best").is_dir()


def test_pruning_as_training_goes_on_keeps_the_same_as_pruning_at_the_end(tmp_path: Path) -> None:
    for steps in range(0, 1000, 37):
        (tmp_path / checkpoint_name(steps)).mkdir()
        prune(tmp_path, 2, 200)
    assert [int(path.name[5:]) for path in checkpoints(tmp_path)] == [222, 407, 629, 814, 962, 999]


def test_what_a_killed_process_left_is_ignored_and_cleaned(tmp_path: Path) -> None:
    _save(tmp_path, 5)
    unfinished = tmp_path / ".writing-abc"
    unfinished.mkdir()
    (unfinished / STATE).write_bytes(b"half")
    assert checkpoints(tmp_path) == [tmp_path / checkpoint_name(5)]
    prune(tmp_path, 2, None)
    assert os.listdir(tmp_path) == [checkpoint_name(5)]


def test_a_process_killed_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "best", {"x": np.ones(1)}, {"steps": 1})
    aside = tmp_path / ".replaced-abc"
    aside.mkdir()
    shutil.move(tmp_path / "best", aside / "best")
    _save(tmp_path, 5)
    prune(tmp_path, 2, None)
    assert sorted(os.listdir(tmp_path)) == ["best", checkpoint_name(5)]
    assert load_checkpoint(tmp_path / "best")[1] == {"steps": 1}


def test_a_process_killed_after_the_renames_keeps_the_new_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "best", {"x": np.ones(1)}, {"steps": 2})
    shutil.copytree(tmp_path / "best", tmp_path / ".replaced-abc" / "best")
    save_checkpoint(tmp_path, "best", {"x": np.ones(1)}, {"steps": 3})
    prune(tmp_path, 2, None)
    assert os.listdir(tmp_path) == ["best"]
    assert load_checkpoint(tmp_path / "best")[1] == {"steps": 3}


def test_a_process_killed_while_it_saves_leaves_whole_checkpoints(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from rmc_rl.checkpoint import *\n"
        "for steps in range(10**6):\n"
        "    for name in (checkpoint_name(steps), 'best'):\n"
        "        save_checkpoint(Path(sys.argv[1]), name, {'x': np.full(10**5, steps)}, {'steps': steps})\n"
        "    prune(Path(sys.argv[1]), 2, None)\n"
        "    print(steps, flush=True)\n"
    )
    command = [sys.executable, "-c", script, tmp_path]
    with nothing_is_left(), subprocess.Popen(command, stdout=subprocess.PIPE) as saver:
        assert saver.stdout is not None
        for _ in range(5):
            saver.stdout.readline()
        saver.kill()
    prune(tmp_path, 2, None)
    found = checkpoints(tmp_path)
    assert len(found) == 2
    for path in [*found, tmp_path / "best"]:
        state, info = load_checkpoint(path)
        assert np.all(state["x"] == info["steps"])
