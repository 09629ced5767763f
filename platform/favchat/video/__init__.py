"""One clip: decode, sample, detect, track, align. numpy in, numpy out."""

from favchat.video.align import align_face, face_geometry
from favchat.video.clip import ProcessedClip, process_clip
from favchat.video.decode import Frames, VideoInfo, read_frames
from favchat.video.detect import CenterFaceDetector, Detections, FaceDetector
from favchat.video.errors import VideoError
from favchat.video.track import Track, track_faces

__all__ = [
    "CenterFaceDetector",
    "Detections",
    "FaceDetector",
    "Frames",
    "ProcessedClip",
    "Track",
    "VideoError",
    "VideoInfo",
    "align_face",
    "face_geometry",
    "process_clip",
    "read_frames",
    "track_faces",
]
