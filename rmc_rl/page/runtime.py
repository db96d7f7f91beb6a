"""onnxruntime-web, which runs an ONNX graph in a browser: brought by npm once, checked, kept in the user's cache.

Of the package a page needs three files: the build for WebAssembly without WebGPU, of one version, known by their
hashes. They get names that every web server knows (many send ``.mjs`` as plain data, which browsers refuse as a
module), and the WebAssembly, 11 MB, is packed with gzip to a quarter, for the page itself to unpack.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from rmc_rl.errors import UserError
from rmc_rl.paths import cache_dir

PACKAGE, VERSION = "onnxruntime-web", "1.22.0"
INTEGRITY = "sha512-Ud/+EBo6mhuaQWt/OjaOk0iNWjXqJoeeMFr6xQEERZdIZH2OWpGzuujz7lfuOBjUa6TEE/sc4nb7Da5dNL34fg=="
"""Of the package as npm packs it."""
FILES = {
    "dist/ort.wasm.min.mjs": "6ef726f355b791129f7ddf3f62e7877a16b9b777abe87004b8ab306e6b9cf265",
    "dist/ort-wasm-simd-threaded.mjs": "30dd851d9c00622940500f71ddd2ff8820c5cb65270816080175b958705385a8",
    "dist/ort-wasm-simd-threaded.wasm": "71aef04959c5c1b6de461b6538e2058e306610034a85aad2742d0c7fd4533fe4",
}
"""What is taken of it, with the SHA-256 of each."""
SECONDS = 300
"""So long npm may take."""

REMEDY = (
    f"install npm, or where there is a network run `npm pack {PACKAGE}@{VERSION}` and name what it wrote: "
    f"onnxruntime_web={PACKAGE}-{VERSION}.tgz"
)

LICENCE = f"""The files beside this one are those of the npm package {PACKAGE} {VERSION},
renamed, one of them compressed:
{{names}}

ONNX Runtime (https://github.com/microsoft/onnxruntime; the notices of what it contains lie there in
ThirdPartyNotices.txt) comes under this licence:

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def runtime_files(place: str | None = None, progress: Callable[[str], None] = lambda words: None) -> dict[str, bytes]:
    """What a page needs to run an ONNX graph, by name.

    Args:
        place: the package: its folder, one that holds it as ``package`` or in ``node_modules``, or the ``.tgz`` that
            npm packs; None: the user's cache or, the first time, npm.
        progress: told what is being done.

    Raises:
        UserError: there is no such package, of another version or with other contents than the one that is known; or
            npm is missing or failed. The message has the remedy.
    """
    read = _from_npm(progress) if place is None else _from(Path(place))
    script, loader, wasm = FILES
    found = {
        "ort.js": read[script],
        "ort-wasm.js": read[loader],
        "ort-wasm.bin": gzip.compress(read[wasm], 9, mtime=0),
    }
    names = "\n".join(f"  {name}: {origin}" for name, origin in zip(found, FILES, strict=True))
    return found | {"LICENCE.txt": LICENCE.format(names=names).encode()}


def _from(place: Path) -> dict[str, bytes]:
    """From what the user named."""
    who = f"onnxruntime_web={place}"
    if place.is_file():
        return _from_archive(place, who)
    folders = [place, place / "package", place / "node_modules" / PACKAGE]
    folder = next((each for each in folders if (each / "package.json").is_file() and (each / "dist").is_dir()), None)
    if folder is None:
        kind = "holds no package" if place.is_dir() else "does not exist"
        raise UserError(f"{who} {kind}: where there is a network run `npm pack {PACKAGE}@{VERSION}` and name its .tgz")
    try:
        version = json.loads((folder / "package.json").read_bytes()).get("version")
        read = {name: (folder / name).read_bytes() for name in FILES} if version == VERSION else {}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{who} cannot be read: {error}") from error
    if version != VERSION:
        raise UserError(f"{who} is of version {version}, {VERSION} needed: npm pack {PACKAGE}@{VERSION}")
    return _checked(read, who)


def _from_npm(progress: Callable[[str], None]) -> dict[str, bytes]:
    """From the cache; before that from npm into the cache."""
    cache = cache_dir()
    kept = cache / f"{PACKAGE}-{VERSION}.tgz"
    if kept.is_file() and _integrity(kept) == INTEGRITY:
        return _from_archive(kept, str(kept))
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"a page needs {PACKAGE}, which npm brings, and there is no npm: {REMEDY}")
    progress(f"npm brings {PACKAGE}")
    with tempfile.TemporaryDirectory(prefix="rmc-rl-") as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", folder]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
            words = " ".join((done.stderr or done.stdout).split()[-40:]) if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            words = str(error)
        packed = Path(folder) / kept.name
        if words or not packed.is_file():
            raise UserError(f"npm could not bring {PACKAGE} {VERSION} ({words or 'it wrote nothing'}): {REMEDY}")
        read = _from_archive(packed, f"what npm brought as {PACKAGE} {VERSION}")
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=cache, prefix=".writing-", delete=False) as file:
                file.write(packed.read_bytes())
            Path(file.name).replace(kept)
        except OSError:
            pass  # the next page asks npm again
    return read


def _from_archive(path: Path, who: str) -> dict[str, bytes]:
    if _integrity(path) != INTEGRITY:
        raise UserError(f"{who} is not {PACKAGE} {VERSION} as npm packs it (its SHA-512 is another): {REMEDY}")
    try:
        with tarfile.open(path) as archive:
            members = {name: archive.extractfile(f"package/{name}") for name in FILES}
            return _checked({name: member.read() for name, member in members.items() if member is not None}, who)
    except (OSError, KeyError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"{who} cannot be read: {error}") from error


def _checked(read: dict[str, bytes], who: str) -> dict[str, bytes]:
    for name, digest in FILES.items():
        if hashlib.sha256(read.get(name, b"")).hexdigest() != digest:
            raise UserError(f"{who}: {name} is not that of {PACKAGE} {VERSION}: {REMEDY}")
    return read


def _integrity(path: Path) -> str:
    """As npm writes it."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
