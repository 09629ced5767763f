"""The endpoint writer from shards to rows, on Ray."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from favchat.config import Config, ConfigError
from favchat.data.annotate.endpoint_replies import Reply, rows_of
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.pipeline import annotate
from favchat.data.annotate.report import write_annotation_report
from tests.data.annotate.conftest import GOOD, MisbehavingServer, make_clip, write_shard

KEY = "sk-never-to-be-written"


def settings(out: Path, url: str | None) -> Config:
    config = Config()
    config.data.out = str(out)
    config.annotate.writer = "endpoint"
    endpoint = config.annotate.endpoint
    endpoint.base_url, endpoint.model, endpoint.api_key_env = url, "m", "FAVCHAT_TEST_KEY"
    endpoint.timeout_s, endpoint.backoff_s, endpoint.attempts, endpoint.concurrency = 1, 0.01, 2, 4
    return config


def test_every_clip_ends_as_rows_or_as_a_reject(
    ray_session: None, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAVCHAT_TEST_KEY", KEY)
    names = [f"c{number}" for number in range(14)]
    for part in (0, 1):
        write_shard(tmp_path, [make_clip(name, smile=1, nod=0) for name in names[part::2]], str(part))
    bad = ["429", "500", "slow", "half a body", "truncated", "wrong schema", "400"]
    server.manners = {name: [manner] for name, manner in zip(names, bad, strict=False)}
    server.manners |= {name: [manner, "good"] for name, manner in zip(names[7:], bad[:6], strict=False)}
    server.seconds = 0.05
    config = settings(tmp_path, server.url)
    result = annotate(config)

    rejects = {row["clip_id"]: row for row in pq.read_table(tmp_path / "annotation_rejects").to_pylist()}
    rows = pq.read_table(tmp_path / "annotations").to_pylist()
    written = {row["clip_id"] for row in rows}
    assert set(rejects) == set(names[:7])
    assert written == set(names[7:])
    assert [rejects[name]["stage"] for name in names[:7]] == ["request"] * 3 + ["reply"] * 3 + ["request"]
    assert all(row["source"] == "endpoint" and row["reason"] for row in rejects.values())
    assert "annotated 7 of 14 clips" in result.summary() and "7 clips rejected" in result.summary()
    assert write_annotation_report(result, tmp_path).rejects == {"request": 4, "reply": 3}
    assert 1 < server.most_busy <= 4
    assert server.keys == {f"Bearer {KEY}"}
    of_one = [row for row in rows if row["clip_id"] == "c13"]
    assert [(r["task"], r["answer_type"], r["truth"], r["attributes"], r["contradictions"]) for r in of_one] == [
        ("summary", "open", None, ["smile"], []),
        ("summary", "open", None, ["happy"], []),
        ("qa", "yes_no", True, ["smile"], []),
        ("qa", "yes_no", False, ["nod"], []),
        ("qa", "open", None, [], []),
    ]

    # A second run asks for nothing that it has, and does the rejected ones.
    server.manners, before = {}, server.requests.copy()
    again = annotate(config)
    assert server.requests - before == dict.fromkeys(names[:7], 1)
    assert (again.rejected, again.unwritten) == (0, 0)
    assert pq.read_table(tmp_path / "annotation_rejects").num_rows == 0

    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), f"the key lies in {file}"
    assert KEY not in yaml.safe_dump(config.model_dump(mode="json"))


def test_a_wrong_key_ends_the_run_with_the_setting(
    ray_session: None, server: MisbehavingServer, tmp_path: Path
) -> None:
    assert "FAVCHAT_TEST_KEY" not in os.environ
    names = [str(number) for number in range(12)]
    write_shard(tmp_path, [make_clip(name, smile=1) for name in names])
    server.manners = dict.fromkeys(names, ["401"])
    with pytest.raises(ConfigError, match="annotate.endpoint: http.* refuses the key in FAVCHAT_TEST_KEY"):
        annotate(settings(tmp_path, server.url))
    assert server.requests.total() <= 4
    assert not (tmp_path / "annotations").exists()


def test_server_and_model_are_needed(tmp_path: Path) -> None:
    write_shard(tmp_path, [make_clip("a", smile=1)])
    with pytest.raises(ConfigError, match="annotate.endpoint.base_url=..."):
        annotate(settings(tmp_path, None))


def test_what_a_reply_becomes() -> None:
    clip = make_clip("a", segments=[("neutral", 0, 1), ("happy", 1, 2)], split="val", male=0, laugh=0, smile=1)
    questions = [
        {"question": "Is she laughing?", "answer": "No, she smiles.", "answer_type": "yes_no", "family": "several"},
        {"question": "Does the mood change?", "answer": "Yes, first neutral, then happy.", "answer_type": "temporal",
         "family": "emotion"},
        {"question": "What else?", "answer": "Nothing  of\nnote.", "answer_type": "open", "family": "image"},
        {"question": "One too many?", "answer": "Indeed.", "answer_type": "open", "family": "image"},
    ]  # fmt: skip
    reply = Reply.model_validate({"summaries": ["She smiles and nods.", "A smile."], "questions": questions})
    rows = rows_of(reply, clip, known_labels_of(clip), summaries=1, questions=3, source="endpoint")
    found = [(r.task, r.family, list(r.attributes), r.level, r.truth, r.hard_negative) for r in rows]
    assert found == [
        ("summary", "action", ["smile", "nod"], "description", None, False),
        ("qa", "action", ["laugh", "smile"], "several", False, True),
        ("qa", "change over time", ["happy", "neutral"], "time", True, False),
        ("qa", "image", [], "one", None, False),
    ]
    assert rows[3].answer == "Nothing of note."
    assert {row.split for row in rows} == {"val"} and {row.source for row in rows} == {"endpoint"}
    assert len(Reply.model_validate(GOOD).questions) == 3
