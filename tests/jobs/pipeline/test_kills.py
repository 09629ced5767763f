"""A pipeline in processes of its own, killed with -9."""

import pytest

from benchmarks.pipeline_kills import drill


@pytest.mark.ray
def test_a_pipeline_that_was_killed_in_its_training_ends_as_an_undisturbed_one(centerface, new_store, tmp_path):
    # One stage: that a kill in a later one changes nothing in those before is test_curriculum's.
    stage = "{name: questions, task: qa, steps: 6, batch_size: 4, trainable: [adapter, language_model]}"
    small = [
        f"training.stages=[{stage}]",
        "data.frames.max_frames=2",
        "data.frames.fps=1",
        "evaluation.max_clips=2",
    ]
    for name in ("whole", "killed"):
        new_store(tmp_path / name / "mlflow.db")
    steps, differ = drill(tmp_path, kills=1, seed=5, more=small)
    assert len(steps) == 3 and "after train had begun" in steps[1]
    assert not any(differ.values()), (steps, differ)
