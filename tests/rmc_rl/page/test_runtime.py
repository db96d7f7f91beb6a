"""Where onnxruntime-web comes from, with a package of a few bytes in its place."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmc_rl.errors import UserError
from rmc_rl.page import runtime

CONTENTS = {name: f"contents of {name}".encode() for name in runtime.FILES}
ARCHIVE = f"{runtime.PACKAGE}-{runtime.VERSION}.tgz"


def packed(contents: dict[str, bytes] = CONTENTS) -> bytes:
    """As npm packs it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


PACKED = packed()


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The small package is the one that is known; nothing is in the cache; nothing can be run."""
    digest = base64.b64encode(hashlib.sha512(PACKED).digest()).decode()
    monkeypatch.setattr(runtime, "INTEGRITY", f"sha512-{digest}")
    monkeypatch.setattr(runtime, "FILES", {name: hashlib.sha256(data).hexdigest() for name, data in CONTENTS.items()})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Makes an npm of a line of shell; the file it names is written at each call."""

    def make(does: str) -> Path:
        (tmp_path / "there.tgz").write_bytes(PACKED)
        program, called = tmp_path / "npm", tmp_path / "called"
        program.write_text(f'#!/bin/sh\necho "$@" >> {called}\nfor folder; do :; done\n{does}\n')
        program.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name: str(program))
        return called

    return make


def package(folder: Path, version: str = runtime.VERSION, **changed: bytes) -> Path:
    for name, data in {**CONTENTS, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "package.json").write_text(json.dumps({"version": version}))
    return folder


def check(found: dict[str, bytes]) -> None:
    script, loader, wasm = CONTENTS.values()
    assert (found["ort.js"], found["ort-wasm.js"]) == (script, loader)
    assert gzip.decompress(found["ort-wasm.bin"]) == wasm
    licence = found["LICENCE.txt"].decode()
    assert "MIT License" in licence
    assert "Copyright (c) Microsoft Corporation" in licence
    assert all(f"{name}: {origin}" in licence for name, origin in zip(found, CONTENTS, strict=False))


@pytest.mark.parametrize("inside", [".", "package", "node_modules/onnxruntime-web"])
def test_from_a_folder(tmp_path: Path, inside: str) -> None:
    package(tmp_path / "named" / inside)
    check(runtime.runtime_files(str(tmp_path / "named")))


def test_from_what_npm_packed(tmp_path: Path) -> None:
    (tmp_path / "any.tgz").write_bytes(PACKED)
    check(runtime.runtime_files(str(tmp_path / "any.tgz")))


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    place = str(package(tmp_path / "named"))
    assert runtime.runtime_files(place) == runtime.runtime_files(place)


def test_npm_brings_it_once(tmp_path: Path, npm: Callable[[str], Path]) -> None:
    called = npm(f'cp {tmp_path}/there.tgz "$folder/{ARCHIVE}"')
    told: list[str] = []
    check(runtime.runtime_files(progress=told.append))
    check(runtime.runtime_files())
    (call,) = called.read_text().splitlines()
    assert call.startswith(f"pack {runtime.PACKAGE}@{runtime.VERSION} ")
    assert "--ignore-scripts" in call
    assert told == ["npm brings onnxruntime-web"]
    assert [path.name for path in (tmp_path / "cache" / "rmc-rl").iterdir()] == [ARCHIVE]


def test_a_damaged_cache_is_replaced(tmp_path: Path, npm: Callable[[str], Path]) -> None:
    kept = tmp_path / "cache" / "rmc-rl" / ARCHIVE
    kept.parent.mkdir(parents=True)
    kept.write_bytes(PACKED[:-1])
    npm(f'cp {tmp_path}/there.tgz "$folder/{ARCHIVE}"')
    check(runtime.runtime_files())
    assert kept.read_bytes() == PACKED


def test_a_cache_that_cannot_be_written_does_not_matter(
    tmp_path: Path, npm: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    npm(f'cp {tmp_path}/there.tgz "$folder/{ARCHIVE}"')
    check(runtime.runtime_files())


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("echo no network >&2; exit 1", r"npm could not bring onnxruntime-web .* \(no network\)"),
        ("exit 1", r"\(it wrote nothing\)"),
        ("exit 0", r"\(it wrote nothing\)"),
        (f'echo another > "$folder/{ARCHIVE}"', "SHA-512 is another"),
    ],
)
def test_npm_that_fails_is_told_with_the_remedy(npm: Callable[[str], Path], does: str, message: str) -> None:
    npm(does)
    with pytest.raises(UserError, match=message) as caught:
        runtime.runtime_files()
    assert f"onnxruntime_web={ARCHIVE}" in str(caught.value)


def test_no_npm_is_told_with_the_remedy() -> None:
    with pytest.raises(UserError, match="there is no npm: install npm, or") as caught:
        runtime.runtime_files()
    assert f"npm pack {runtime.PACKAGE}@{runtime.VERSION}" in str(caught.value)


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"is of version 1\.0\.0, {runtime.VERSION} needed"):
        runtime.runtime_files(str(package(tmp_path, "1.0.0")))


def test_other_contents_are_refused(tmp_path: Path) -> None:
    changed: dict[str, Any] = {next(iter(CONTENTS)): b"else"}
    with pytest.raises(UserError, match=r"dist/ort\.wasm\.min\.mjs is not that of onnxruntime-web"):
        runtime.runtime_files(str(package(tmp_path / "named", **changed)))
    (tmp_path / "other.tgz").write_bytes(packed({**CONTENTS, **changed}))
    with pytest.raises(UserError, match=r"other\.tgz is not onnxruntime-web"):
        runtime.runtime_files(str(tmp_path / "other.tgz"))


@pytest.mark.parametrize(("name", "message"), [("nowhere", "does not exist"), (".", "holds no package")])
def test_a_place_without_it_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=f"{message}: where there is a network run `npm pack"):
        runtime.runtime_files(str(tmp_path / name))


def test_a_folder_with_holes_is_refused(tmp_path: Path) -> None:
    (package(tmp_path) / next(iter(CONTENTS))).unlink()
    with pytest.raises(UserError, match="cannot be read"):
        runtime.runtime_files(str(tmp_path))
