import torch

import jobs.quickstart
from favchat.config import load
from favchat.hub.load import load as load_model
from jobs.cli import CONFIGS


def test_the_whole_road_ends_with_answers(ray_session, centerface, stand_in, new_store, tmp_path):
    config = load(
        CONFIGS / "quickstart.yaml",
        [
            f"data.out={tmp_path / 'corpus'}",
            f"training.out={tmp_path / 'run'}",
            f"tracking.uri={new_store(tmp_path / 'mlflow.db')}",
            "data.frames.fps=2",
            "training.stages.0.steps=3",
            "training.stages.1.steps=3",
        ],
    )
    said: list[str] = []
    answers = jobs.quickstart.run(config, say=said.append)
    asked = {(clip, question) for clip, questions in jobs.quickstart.EXAMPLES.items() for question in questions}
    assert {(answer.clip, answer.question) for answer in answers} == asked
    assert len(asked) == 15
    assert said[0].startswith("prepared 24 clips: 23 in shards, 1 rejected (1 at track)")
    assert said[1].startswith("annotated 23 of 23 clips")
    assert said[2].startswith("trained summaries loss")
    assert str(tmp_path / "run" / "model") in said[2]

    # It went on from the package's own model: what that sees in faces is as it was, the language model's updates moved.
    model, _ = load_model(str(tmp_path / "run" / "model"))
    for name, value in model.named_parameters():
        if name in stand_in:
            assert torch.equal(value, stand_in[name].float())
    updates = [value for name, value in model.named_parameters() if ".lora_B" in name]
    assert updates
    assert any(value.abs().max() > 0 for value in updates)
