"""The columns of shards, rejects and annotations, as plain Arrow types; ``docs/data-format.md`` explains each."""

from __future__ import annotations

import pyarrow as pa

SHARDS = "shards"
REJECTS = "rejects"
ANNOTATIONS = "annotations"

_LABELS = [
    pa.field("appearance", pa.list_(pa.int8()), nullable=False),
    pa.field("action", pa.list_(pa.int8()), nullable=False),
    pa.field("emotion", pa.string()),
    pa.field(
        "emotion_segments",
        pa.list_(pa.struct([("emotion", pa.string()), ("start", pa.float64()), ("end", pa.float64())])),
        nullable=False,
    ),
    pa.field("extra", pa.list_(pa.int8())),
]

ADDED = {"extra": pa.list_(pa.int8()), "face_measures": pa.list_(pa.float32())}
"""Columns that corpora of earlier versions lack; they are read as null there."""

_TRACKS = pa.field("tracks", pa.int32(), nullable=False)

CLIP_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("start", pa.float64(), nullable=False),
        pa.field("end", pa.float64()),
        pa.field("identity", pa.string()),
        pa.field("split", pa.string(), nullable=False),
        pa.field("box", pa.list_(pa.float64())),
        *_LABELS,
    ]
)
"""A clip before it is decoded: where it lies and its labels."""

QUALITY = ("face_share", "score", "face_size", "sharpness", "yaw", "pitch", "roll", "brightness")
"""The measures of ``favchat.video.Quality``, one column each."""

MEDIA_SCHEMA = pa.schema(
    [
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("fps", pa.float64(), nullable=False),
        pa.field("duration", pa.float64(), nullable=False),
        pa.field("times_guessed", pa.bool_(), nullable=False),
        pa.field("readable", pa.float64(), nullable=False),
        pa.field("timestamps", pa.list_(pa.float64()), nullable=False),
        pa.field("frames", pa.list_(pa.binary()), nullable=False),
        pa.field("faces", pa.list_(pa.binary()), nullable=False),
        pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4)), nullable=False),
        pa.field("landmarks", pa.list_(pa.list_(pa.float32(), 10)), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        pa.field("visible", pa.list_(pa.bool_()), nullable=False),
        pa.field("track", pa.int32(), nullable=False),
        _TRACKS,
        pa.field("cuts", pa.list_(pa.float64()), nullable=False),
        pa.field("shot_start", pa.float64(), nullable=False),
        pa.field("shot_end", pa.float64(), nullable=False),
        *[pa.field(name, pa.float32(), nullable=False) for name in QUALITY],
        pa.field("duplicate_hash", pa.string(), nullable=False),
        pa.field("face_measures", pa.list_(pa.float32())),
    ]
)
"""What decoding, detection, alignment and measuring add."""

SHARD_SCHEMA = pa.schema([*CLIP_SCHEMA, *MEDIA_SCHEMA])

LEDGER = "ledger"
_MEASURES = [field for field in MEDIA_SCHEMA if not pa.types.is_list(field.type)]
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("clip", pa.string(), nullable=False),
        *[field.with_nullable(True) for field in CLIP_SCHEMA if field.name != "clip_id"],
        *[field.with_nullable(True) for field in _MEASURES],
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("file", pa.string(), nullable=False),
        pa.field("row_group", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
    ]
)
"""A row of the shards or of the rejects without pixels: ``clip`` is the clip that it belongs to (a further face has an
id of its own), ``stage`` is null in a shard, and ``file``, ``row_group`` and ``row`` say where it lies."""

LABEL_COLUMNS = (*CLIP_SCHEMA.names, "shot_start", "shot_end")
"""What ``favchat.data.corpus.clip.clip_from_row`` reads of a shard's row."""

REJECT_SCHEMA = pa.schema(
    [
        *[CLIP_SCHEMA.field(name) for name in ("clip_id", "source", "video", "start", "end")],
        _TRACKS,
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)

TEXT_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("answer_type", pa.string(), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("attributes", pa.list_(pa.string()), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("truth", pa.bool_()),
        pa.field("hard_negative", pa.bool_(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)
"""An annotation as its writer leaves it."""

SCORES = ("consistency", "specificity", "face_quality", "length", "rarity", "quality")
"""What the selection goes by, each 0..1; the last one is the weighted mean of the others."""

ANNOTATION_SCHEMA = pa.schema(
    [
        *TEXT_SCHEMA,
        pa.field("contradictions", pa.list_(pa.string()), nullable=False),
        *[pa.field(name, pa.float32(), nullable=False) for name in SCORES],
        pa.field("duplicate", pa.bool_(), nullable=False),
        pa.field("selected", pa.bool_(), nullable=False),
    ]
)

ANNOTATION_REJECTS = "annotation_rejects"
ANNOTATION_REJECT_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
