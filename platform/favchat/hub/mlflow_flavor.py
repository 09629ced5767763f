"""A model directory as an MLflow model: what ``mlflow.pyfunc`` and ``mlflow models serve`` need lies beside it."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import mlflow.pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Map

from favchat import __version__

CODE = Path(__file__).with_name("pyfunc_model.py")


def signature() -> ModelSignature:
    """What goes in and out: a question about a video's path or bytes; an answer and scores."""
    string, binary, number = DataType.string, DataType.binary, DataType.double
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(string, "question"),
                ColSpec(string, "video", required=False),
                ColSpec(binary, "video_bytes", required=False),
            ]
        ),
        outputs=Schema([ColSpec(string, "answer"), ColSpec(Map(number), "scores")]),
        params=ParamSchema([ParamSpec("max_new_tokens", DataType.long, 128)]),
    )


def add_flavor(folder: Path) -> None:
    """Write the flavor ``python_function`` into a directory that `save_pretrained` has written."""
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary, "model")
        with warnings.catch_warnings():
            # It would like an example of the input, which would be a video.
            warnings.filterwarnings("ignore", ".*An input example was not provided", UserWarning)
            mlflow.pyfunc.save_model(
                made, python_model=str(CODE), signature=signature(), pip_requirements=[f"favchat=={__version__}"]
            )
        model = Model.load(str(made / MLMODEL_FILE_NAME))
        # The model is the directory itself: its weights are not kept a second time.
        model.flavors["python_function"]["artifacts"] = {"model": {"path": ".", "uri": "."}}
        model.save(str(made / MLMODEL_FILE_NAME))
        shutil.copytree(made, folder, dirs_exist_ok=True)
