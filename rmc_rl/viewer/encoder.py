"""Pictures to a GIF or MP4 file by FFmpeg, whose program comes with imageio-ffmpeg. Nothing is kept in memory."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import imageio_ffmpeg  # type: ignore[import-untyped]

# The colour matrix is named on both sides: players guess it by the picture's height otherwise.
MP4_COLOURS = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
MP4_TAGS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
MP4 = ("-vf", MP4_COLOURS, *MP4_TAGS, "-c:v", "libx264", "-crf", "18", "-movflags", "+faststart")

# A GIF is made in two passes over a lossless file: one palette for all pictures, so that what stands still costs
# nothing; no dithering, because its grain would move.
LOSSLESS = ("-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast")
GIF = ("-filter_complex", "paletteuse=dither=none:diff_mode=rectangle", "-c:v", "gif", "-loop", "0")


@contextmanager
def encoder(path: Path, size: tuple[int, int], speed: float) -> Iterator[Callable[[bytes], object]]:
    """Takes pictures one by one and, when the context is left, has written them to `path`.

    Args:
        path: ends in .gif or .mp4; overwritten.
        size: width and height, even numbers.
        speed: pictures per second.

    Yields:
        A function that takes one picture: RGB bytes, row by row.

    Raises:
        OSError: FFmpeg fails; its message is FFmpeg's.
    """
    rate = f"{speed:.6f}"
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", rate, "-i", "-")
    if path.suffix == ".mp4":
        with _running([*source, *MP4, str(path)]) as send:
            yield send
        return
    # Beside `path`, not in the system's folder for such files: that is often small, or memory.
    with tempfile.TemporaryDirectory(prefix=f"{path.stem}.", dir=path.parent) as folder:
        pictures, palette = str(Path(folder) / "pictures.mkv"), str(Path(folder) / "palette.png")
        with _running([*source, *LOSSLESS, pictures]) as send:
            yield send
        with _running(["-i", pictures, "-vf", "palettegen=stats_mode=full", palette]):
            pass
        with _running(["-i", pictures, "-i", palette, *GIF, str(path)]):
            pass


@contextmanager
def _running(words: Sequence[str]) -> Iterator[Callable[[bytes], object]]:
    """FFmpeg at work: yields what writes to its standard input, then waits for it to end well."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C is not for it
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
                raise OSError(log.read().decode(errors="replace").strip() or "FFmpeg failed") from failure
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with suppress(OSError):
                process.stdin.close()
