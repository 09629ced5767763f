from pathlib import Path

import jobs.quickstart
from favchat.config import load
from jobs.cli import CONFIGS


def test_the_whole_road_ends_with_answers(ray_session, centerface, new_store, tmp_path):
    config = load(
        CONFIGS / "tiny.yaml",
        [
            f"data.out={tmp_path / 'corpus'}",
            f"training.out={tmp_path / 'run'}",
            f"tracking.uri={new_store(tmp_path / 'mlflow.db')}",
            "data.frames.fps=2",
            "training.val_batches=1",
            "training.val_answers=2",
            "training.val_answer_tokens=8",
            "training.stages=[{name: questions, task: qa, steps: 4, batch_size: 8}]",
        ],
    )
    said: list[str] = []
    answers = jobs.quickstart.run(config, say=said.append)
    assert [answer.question for answer in answers] == list(jobs.quickstart.QUESTIONS)
    assert said[0].startswith("prepared 24 clips: 23 in shards, 1 rejected (1 at track)")
    assert said[1].startswith("annotated 23 of 23 clips")
    assert said[2].startswith("trained questions loss")
    assert str(tmp_path / "run" / "model") in said[2]
    assert (Path(tmp_path) / "run" / "model" / "model.safetensors").is_file()
