import json

import torch
from mlflow.tracking import MlflowClient

import jobs.pipeline.run
import jobs.quickstart
from favchat.config import load
from favchat.hub.load import load as load_model
from jobs.commands.settings import CONFIGS
from jobs.pipeline.steps import STEPS


def test_the_whole_road_ends_with_answers(ray_session, centerface, stand_in, new_store, tmp_path):
    out, store = tmp_path / "all", new_store(tmp_path / "mlflow.db")
    settings = [
        f"pipeline.out={out}",
        f"tracking.uri={store}",
        "tracking.registered_model=quick",
        "data.frames.fps=2",
        "training.stages.0.steps=3",
        "training.stages.1.steps=3",
        "evaluation.max_clips=2",
    ]
    config = load(CONFIGS / "quickstart.yaml", settings)
    said: list[str] = []
    answers = jobs.quickstart.run(config, say=said.append)
    asked = {(clip, question) for clip, questions in jobs.quickstart.EXAMPLES.items() for question in questions}
    assert {(answer.clip, answer.question) for answer in answers} == asked
    assert len(asked) == 15
    done = [line for line in said if not line.startswith(tuple(step.name + " " for step in STEPS))]
    assert done[0].startswith("prepared 24 clips: 23 in shards, 1 rejected (1 at track)")
    assert done[1].startswith("annotated 23 of 23 clips")
    assert done[2].startswith("trained summaries loss")
    assert str(out / "run" / "model") in done[2]
    assert "questions answered" in done[3]
    assert done[4].startswith("registered as models:/quick/1")

    # It went on from the package's own model: what that sees in faces is as it was, the language model's updates moved.
    model, _ = load_model(str(out / "run" / "model"))
    for name, value in model.named_parameters():
        if name in stand_in:
            assert torch.equal(value, stand_in[name].float())
    updates = [value for name, value in model.named_parameters() if ".lora_B" in name]
    assert updates
    assert any(value.abs().max() > 0 for value in updates)

    client = MlflowClient(tracking_uri=store)
    (experiment,) = client.search_experiments(filter_string="name = 'favchat'")
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    parents = {run.info.run_name: runs.get(run.data.tags.get("mlflow.parentRunId")) for run in runs.values()}
    for name in ("prepare corpus", "annotate corpus", "train run", "evaluate model"):
        assert parents[name].info.run_name == "pipeline all"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}

    # Nothing changed: nothing is done, by the sample's own settings; registering changed no fingerprint.
    record = (out / "pipeline.json").read_text()
    assert json.loads(record)["steps"].keys() == {"prepare", "annotate", "train", "evaluate", "register"}
    again = [line for line in said if "do  " in line[:16]]
    assert len(again) == 5
    said.clear()
    jobs.quickstart.run(config, say=said.append)
    assert not [line for line in said if line[10:12] == "do"]
    assert (out / "pipeline.json").read_text() == record
