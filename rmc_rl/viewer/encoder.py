"""Pictures to a GIF, MP4 or WebM file by FFmpeg, whose program comes with imageio-ffmpeg. Nothing is kept in memory.

The same pictures make the same bytes, on a machine of any number of cores: how many threads encode is stated, what a
processor could do in its own way is switched off, and neither the time nor FFmpeg's name is written into the file.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from rmc_rl.errors import UserError

# The colours are named on both sides: players guess them by the picture's height otherwise. FFmpeg before 7 takes what
# stands in the file from its options, later ones from the pictures.
COLOURS = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+bitexact,format=yuv420p,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)
TAGS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
REPRODUCIBLE = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "2")

MP4 = ("-c:v", "libx264", "-crf", "18", "-x264-params", "cpu-independent=1", "-movflags", "+faststart")
WEBM = ("-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "5")

# A GIF is made in two passes over a lossless file: one palette for all pictures, so that what stands still costs
# nothing; no dithering, because its grain would move. Every FFmpeg has these encoders.
LOSSLESS = ("-c:v", "qtrle")
GIF = ("-filter_complex", "paletteuse=dither=none:diff_mode=rectangle", "-c:v", "gif", "-loop", "0")

LIBRARIES = {".gif": "gif", ".mp4": "libx264", ".webm": "libvpx-vp9"}
"""What makes each format, by FFmpeg's name: the formats there are."""


@contextmanager
def encoder(path: Path, size: tuple[int, int], speed: float) -> Iterator[Callable[[bytes], object]]:
    """Takes pictures one by one and, when the context is left, has written them to `path`.

    Args:
        path: ends in .gif, .mp4 or .webm; overwritten.
        size: width and height, even numbers.
        speed: pictures per second.

    Yields:
        A function that takes one picture: RGB bytes, row by row.

    Raises:
        UserError: there is no FFmpeg.
        OSError: FFmpeg fails; its message is the first line that FFmpeg said.
    """
    rate = f"{speed:.6f}"
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", rate, "-i", "-")
    if path.suffix != ".gif":
        words = MP4 if path.suffix == ".mp4" else WEBM
        with _running([*source, "-vf", COLOURS, *TAGS, *words, *REPRODUCIBLE, str(path)]) as send:
            yield send
        return
    # Beside `path`, not in the system's folder for such files: that is often small, or memory.
    with tempfile.TemporaryDirectory(prefix=f"{path.stem}.", dir=path.parent) as folder:
        pictures, palette = str(Path(folder) / "pictures.mov"), str(Path(folder) / "palette.png")
        with _running([*source, *LOSSLESS, pictures]) as send:
            yield send
        with _running(["-i", pictures, "-vf", "palettegen=stats_mode=full", palette]):
            pass
        with _running(["-i", pictures, "-i", palette, *GIF, *REPRODUCIBLE, str(path)]):
            pass


def check_encoder(suffix: str) -> None:
    """Refuse a format that cannot be written here.

    Args:
        suffix: of a file name, one of `LIBRARIES`.

    Raises:
        UserError: there is no FFmpeg, or it lacks the encoder.
    """
    program = ffmpeg()
    if LIBRARIES[suffix] not in _encoders(program):
        others = [other for other, library in LIBRARIES.items() if library in _encoders(program)]
        remedy = f"record to {' or '.join(others)}" if others else "install imageio-ffmpeg, which brings one that has"
        raise UserError(f"this FFmpeg ({program}) has no encoder for {suffix} ({LIBRARIES[suffix]}): {remedy}")


def ffmpeg() -> str:
    """FFmpeg's program.

    Raises:
        UserError: there is none.
    """
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise UserError(f"recording needs FFmpeg, which is not found: pip install imageio-ffmpeg ({error})") from error


@cache
def _encoders(program: str) -> frozenset[str]:
    try:
        listed = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"FFmpeg ({program}) does not run ({error}): name a working one by IMAGEIO_FFMPEG_EXE"
        ) from error
    return frozenset(words[1] for words in map(str.split, listed.stdout.splitlines()) if len(words) > 1)


@contextmanager
def _running(words: Sequence[str]) -> Iterator[Callable[[bytes], object]]:
    """FFmpeg at work: yields what writes to its standard input, then waits for it to end well."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [ffmpeg(), "-y", "-v", "error", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            # Ctrl-C is not for it. No session of its own: Linux may share the cores out by sessions, and then a low
            # priority counts only inside of one.
            process_group=0,
        )
        assert process.stdin is not None
        failure = None
        try:
            try:
                yield process.stdin.write
                process.stdin.close()
            except BrokenPipeError as error:
                failure = error
            if process.wait() != 0 or failure is not None:
                log.seek(0)
                said = re.sub(r"\[\S+ @ 0x[0-9a-f]+\] ", "", log.read().decode(errors="replace")).strip()
                unsaid = f"FFmpeg ended with status {process.returncode}"
                raise OSError(said.partition("\n")[0] or unsaid) from failure  # the rest follows from the first
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with suppress(OSError):
                process.stdin.close()
