"""One clip: decode, sample, detect, track, align. numpy in, numpy out."""

from favchat.video.align import align_face, face_geometry
from favchat.video.clip import CutPolicy, ProcessedClip, process_clip, process_tracks
from favchat.video.decode import Frames, VideoInfo, read_frames
from favchat.video.decoded import DecodedVideo
from favchat.video.descriptor import FaceDescriptor, IdentityDescriptor
from favchat.video.detect import CenterFaceDetector, Detections, FaceDetector
from favchat.video.errors import VideoError
from favchat.video.quality import Quality, duplicate_hash, hash_distance, measure
from favchat.video.specification import ClipSpecification
from favchat.video.track import Track, track_faces

__all__ = [
    "CenterFaceDetector",
    "ClipSpecification",
    "CutPolicy",
    "DecodedVideo",
    "Detections",
    "FaceDescriptor",
    "FaceDetector",
    "Frames",
    "IdentityDescriptor",
    "ProcessedClip",
    "Quality",
    "Track",
    "VideoError",
    "VideoInfo",
    "align_face",
    "duplicate_hash",
    "face_geometry",
    "hash_distance",
    "measure",
    "process_clip",
    "process_tracks",
    "read_frames",
    "track_faces",
]
