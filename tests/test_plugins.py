"""A source and a task of another installed package are found by their entry points, and used like the project's own."""

import sys

import pytest

import jobs.prepare
from favchat.config import ConfigError, load
from favchat.data.corpus.parquet_files import read_folder
from favchat.evaluation import labelled_clips
from favchat.evaluation.evaluate import plan_task
from favchat.io.paths import path_of
from favchat.plugins import SOURCES, TASKS
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE

CODE = """
from favchat.data.corpus.clip import Clip
from favchat.data.listing.entries import Listing
from favchat.evaluation.task import Task, yes_no


def two_clips(source):
    videos = [f"{source.path}/{name}.mp4" for name in ("pexels_0", "franck_0")]
    return Listing([Clip(id=name, video=video, split="val") for name, video in zip("ab", videos)])


def questions(asked):
    question = "Is there a face?"
    return [one for clip in asked.clips for one in yes_no(asked, "face_there", clip, question, True, part="all")]


FACE_THERE = Task(
    name="face_there", title="Face", kind="questions", protocol="Every clip has a face.", source="here",
    access="anywhere", items=questions,
)
"""
ENTRY_POINTS = """
[favchat.sources]
two_clips = lab_plugin:two_clips

[favchat.tasks]
face_there = lab_plugin:FACE_THERE
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The files that an installation of such a package leaves."""
    (tmp_path / "lab_plugin.py").write_text(CODE)
    about = tmp_path / "lab_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-plugin\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("lab_plugin", None)


def test_they_are_used_like_the_projects_own(installed, ray_session, centerface, new_store, tmp_path):
    out = tmp_path / "corpus"
    source = ["data.source.kind=two_clips", f"data.source.path={SAMPLE / 'clips'}", f"data.out={out}"]
    short = ["data.frames.max_frames=4", f"tracking.uri={new_store(tmp_path / 'mlflow.db')}"]
    asked = ["evaluation.model=m", "evaluation.tasks=[face_there]", "evaluation.ways=[text]"]
    config = load(CONFIGS / "tiny.yaml", [*source, *short, *asked])
    jobs.prepare.run(config)
    assert read_folder(path_of(str(out)) / "shards", ["source"])["source"].to_pylist() == ["two_clips"] * 2
    clips = labelled_clips.read_clips(str(out))
    plan = plan_task(TASKS["face_there"], config, clips, labelled_clips.training_corpora(config, clips), "val")
    assert [(item.clip_id, item.question) for item in plan.items] == [
        ("a", "Is there a face?"),
        ("b", "Is there a face?"),
    ]


def test_without_the_package_the_name_is_refused_before_anything_starts():
    with pytest.raises(ConfigError, match="'two_clips' is none of celebv_hq, .*folder"):
        load(CONFIGS / "tiny.yaml", ["data.source.kind=two_clips"])
    with pytest.raises(ConfigError, match="did you mean questions"):
        load(CONFIGS / "tiny.yaml", ["evaluation.tasks=[question]"])


def test_every_file_of_the_folders_is_one():
    assert all(callable(SOURCES[name]) for name in SOURCES)
    assert all(TASKS[name].name == name for name in TASKS)


def test_names_of_the_projects_own_are_known_without_a_look_at_what_is_installed(monkeypatch):
    monkeypatch.setattr("favchat.plugins.entry_points", lambda **_: pytest.fail("looked"))
    assert SOURCES.check("folder") == "folder"
