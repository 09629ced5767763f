"""How MLflow runs a registered model: it copies this file beside the weights and loads the model with it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mlflow.models
import pandas as pd  # type: ignore[import-untyped]
from mlflow.pyfunc import PythonModel


class VideoAnswers(PythonModel):
    """Answers questions about the main face of videos, and scores the attributes that the model was taught."""

    def load_context(self, context: Any) -> None:
        """Load the model that lies in the directory of the registered version."""
        from favchat.face_scores.values import Calibration
        from favchat.hub.load import load

        place = context.artifacts["model"]
        self._network, self._processor = load(place)
        self._calibration = Calibration.read(place)
        self._detector = self._processor.clip_specification.make_detector()

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer a question a row.

        Args:
            context: Not used.
            model_input: Column ``question``, and the video as a path in ``video`` or as a file's bytes in
                ``video_bytes``.
            params: ``max_new_tokens``, the longest answer.

        Returns:
            Columns ``answer`` and ``scores``, from an attribute's name to how likely it is, empty where the model was
            taught none or no face is seen; a row for each of the input.

        Raises:
            ValueError: A row has no video.
            VideoError: A file cannot be read as a video.
        """
        longest = int((params or {}).get("max_new_tokens", 128))
        rows = [self._answer(row, longest) for row in model_input.to_dict("records")]
        return pd.DataFrame(rows, index=model_input.index, columns=["answer", "scores"])

    def _answer(self, row: dict[str, Any], longest: int) -> dict[str, Any]:
        from favchat.labels.everyday_templates import NO_FACE
        from favchat.model.generation import answer
        from favchat.model.scores import attribute_scores
        from favchat.video import VideoError

        specification = self._processor.clip_specification
        path, data = row.get("video"), row.get("video_bytes")
        if not isinstance(data, bytes) and not isinstance(path, str):
            raise ValueError("a row needs the path of a video in 'video' or a file's bytes in 'video_bytes'")
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(data, bytes):
                file = Path(folder, "video")
                file.write_bytes(data)
                path = str(file)
            try:
                clip = specification.read(str(path), self._detector)[0]
            except VideoError as error:
                if not error.reason.startswith("no face found"):
                    raise
                return {"answer": NO_FACE, "scores": {}}
        (text,) = answer(self._network, self._processor, [clip], [row["question"]], max_new_tokens=longest)
        (scores,) = attribute_scores(self._network, self._processor, [clip], self._calibration)
        return {"answer": text, "scores": {one.name: one.score for one in scores}}


mlflow.models.set_model(VideoAnswers())
