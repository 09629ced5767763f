"""A stage on a machine that has torch but no Ray, DeepSpeed or MLflow: features, batches and steps in one process."""

import json
import shutil
import subprocess
import sys

from jobs.commands.settings import CONFIGS

CODE = """
import json, sys
for name in ("ray", "deepspeed", "mlflow"):
    sys.modules[name] = None  # importing it fails
from favchat.config import load
from favchat.training.features.feature_encoder import compute_features
from favchat.training.stage.optimizer import make_optimizer
from favchat.training.batches.stage_source import StageSource
from favchat.training.stage.starting_model import set_learning, starting_model
from favchat.training.stage.step import Stepper, TorchEngine

config = load(sys.argv[1], ["data.out=" + sys.argv[2]])
stage = config.training.stages[1]
model, _ = starting_model(config.model, config.seed, None)
set_learning(model, config.model, stage.trainable, config.seed)
source = StageSource(config, stage, None)
source.features = compute_features(config, stage, None, source.index.files)
stepper = Stepper(TorchEngine(model, make_optimizer(model, stage), stage), stage, 8, seed=0)
batches = source.batches(0, 1, 0)
print(json.dumps([stepper.step(step, [next(batches)]).metrics["language_loss"] for step in range(1, 9)]))
"""


def test_a_stage_runs_where_no_ray_is(corpus, tmp_path):
    own = tmp_path / "corpus"
    for folder in ("shards", "annotations"):
        shutil.copytree(corpus / folder, own / folder)
    done = subprocess.run([sys.executable, "-c", CODE, CONFIGS / "tiny.yaml", own], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses = json.loads(done.stdout)
    assert sum(losses[-2:]) < sum(losses[:2])
    assert list((own / "features").rglob("*.arrow"))
