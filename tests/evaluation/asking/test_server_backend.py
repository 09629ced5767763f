"""A server is asked with frames or a video, and its faults are told apart."""

import base64
import io

import av
import pyarrow.parquet as pq
import pytest

from favchat.config import ConfigError, JudgeConfig
from favchat.evaluation.asking.backends import CLIP_COLUMNS, ServerBackend, video_file
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.scoring.answer_parser import YES_NO
from favchat.evaluation.scoring.judge import judge, read_prompt, read_score
from favchat.io.paths import path_of
from tests.evaluation.conftest import make_clip, settings, words, write_shard


@pytest.fixture
def clip(tmp_path):
    write_shard(tmp_path, [make_clip("a")])
    return pq.read_table(tmp_path / "shards", columns=CLIP_COLUMNS).to_pylist()[0]


def item(question="Is the person smiling?", options=YES_NO) -> EvalQuestion:
    return EvalQuestion("t", "p", "a", "i", "val", "text", question, options, truth=0 if options else None)


def backend(server, *more: str) -> ServerBackend:
    config = settings(
        "corpus",
        f"evaluation.server.base_url={server.url}",
        "evaluation.server.model=m",
        "evaluation.server.concurrency=1",
        *more,
    )
    return ServerBackend(config.evaluation)


def test_frames_and_a_hint_are_sent(server, clip):
    done = backend(server, "evaluation.server.frames=3").answer([clip], [[item(), item("Who?", ())]])
    assert [row["raw"] for row in done.rows] == ["Yes.", "Yes."]
    assert server.text() == ["Is the person smiling? Answer with one word only: Yes, No.", "Who?"]
    parts = server.bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url"] * 3 + ["text"]
    assert base64.b64decode(parts[0]["image_url"]["url"].partition("base64,")[2])[:3] == b"\xff\xd8\xff"
    assert server.bodies[0]["temperature"] == 0


def test_hints_can_be_left_out(server, clip):
    backend(server, "evaluation.hints=false").answer([clip], [[item()]])
    assert server.text() == ["Is the person smiling?"]


def test_a_video_is_sent_whole(server, clip):
    backend(server, "evaluation.server.media=video").answer([clip | {"end": 1.0}], [[item()]])
    part = server.bodies[0]["messages"][0]["content"][0]
    data = base64.b64decode(part["video_url"]["url"].removeprefix("data:video/mp4;base64,"))
    with av.open(io.BytesIO(data)) as video:
        assert len(list(video.decode(video=0))) == 4
        assert (video.streams.video[0].width, video.streams.video[0].height) == (48, 32)
        assert float(video.streams.video[0].average_rate) == pytest.approx(4)


def test_a_clip_that_is_a_file_is_that_file(tmp_path, clip):
    (tmp_path / "v.mp4").write_bytes(b"the file itself")
    assert video_file(clip | {"video": str(tmp_path / "v.mp4")}) == b"the file itself"


@pytest.mark.parametrize("manner", ["500", "503", "429", "a page", "half a body", "no choices"])
def test_what_passes_is_asked_again(server, clip, manner):
    server.manners = [manner, manner]
    done = backend(server).answer([clip], [[item()]])
    assert [row["raw"] for row in done.rows] == ["Yes."]
    assert len(server.bodies) == 3


def test_what_does_not_pass_is_left_for_a_later_run(server, clip):
    server.manners = ["500"] * 3
    done = backend(server, "evaluation.server.attempts=3").answer([clip], [[item(), item("Is it late?")]])
    assert [row["raw"] for row in done.rows] == ["Yes."]
    assert len(done.failures) == 1 and "3 attempts" in done.failures[0]
    assert done.fault is None


def test_a_refusal_is_an_answer_of_its_own(server, clip):
    server.manners = ["400"]
    done = backend(server).answer([clip], [[item()]])
    assert done.rows[0]["raw"] is None and "told to say 400" in done.rows[0]["error"]
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("manner", "words"), [("401", "refuses the key in OPENAI_API_KEY"), ("404", "knows no such model")]
)
def test_a_fault_of_all_questions_ends_the_asking(server, clip, manner, words):
    server.manners = [manner] * 50
    done = backend(server).answer([clip], [[item(f"{n}?") for n in range(20)]])
    assert words in done.fault and "evaluation.server" in done.fault
    assert not done.rows


def test_a_server_that_is_not_there(clip, monkeypatch):
    monkeypatch.setattr("favchat.evaluation.asking.server_backend.retry_wait", lambda *_, **__: 0)
    config = settings("corpus", "evaluation.server.base_url=http://127.0.0.1:9/v1", "evaluation.server.model=m")
    assert "does not answer" in ServerBackend(config.evaluation).answer([clip], [[item()]]).fault


def judged(text: str) -> dict:
    return {
        "item": text,
        "clip_id": "a",
        "question": "What is the person doing?",
        "options": [],
        "references": ["They are smiling."],
        "raw": text,
        "score": None,
        "judgement": None,
    }


def test_the_judge_scores_open_answers_and_keeps_its_replies(server, tmp_path):
    replies = {"right": '{"reason": "yes", "score": 9}', "wrong": 'Sure: {"score": 0, "reason": ""}', "odd": "ten!"}
    server.reply = lambda body: next(reply for word, reply in replies.items() if f"to judge: {word}" in words(body))
    clips = {"a": make_clip("a", smile=1, nod=0).clip}
    config = JudgeConfig(base_url=server.url, model="j")
    rows = [judged("right"), judged("wrong"), judged("odd"), judged("closed") | {"options": ["Yes", "No"]}]
    assert judge(rows, clips, config, path_of(str(tmp_path))) == 0
    assert [row["score"] for row in rows] == [9, 0, None, None]
    assert [row["judgement"] is None for row in rows] == [False, False, False, True]
    asked = server.text()[0]
    assert "Known to be true: is smiling" in asked and "Known to be false: is nodding" in asked
    assert "- They are smiling." in asked
    judge([judged("right")], clips, config, path_of(str(tmp_path)))
    assert len(server.bodies) == 3


def test_a_judge_that_fails_is_asked_later(server, tmp_path):
    server.manners = ["500"] * 4
    rows, clips = [judged("right")], {"a": make_clip("a").clip}
    config = JudgeConfig(base_url=server.url, model="j")
    assert judge(rows, clips, config, path_of(str(tmp_path))) == 1
    server.reply = lambda body: '{"score": 7}'
    assert judge(rows, clips, config, path_of(str(tmp_path))) == 0
    assert rows[0]["score"] == 7


@pytest.mark.parametrize(
    "reply", ["", "8", '{"score": 11}', '{"score": "8"}', '{"score": 7.5}', '{"points": 3}', "{8}"]
)
def test_a_score_is_never_guessed(reply):
    assert read_score(reply) is None


def test_the_prompt_is_a_file_that_is_checked(tmp_path):
    assert "$answer" in read_prompt(None)
    file = tmp_path / "prompt.txt"
    file.write_text("Judge $answer to $question for $5.")
    with pytest.raises(ConfigError, match="prompt.txt needs"):
        read_prompt(str(file))
    file.write_text("Judge $answer to $question. It costs $$5.")
    assert read_prompt(str(file)).startswith("Judge")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prompt(str(tmp_path / "none.txt"))
