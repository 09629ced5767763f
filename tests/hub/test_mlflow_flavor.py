"""A registered model, run as MLflow runs it."""

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import requests
from fastapi.testclient import TestClient
from mlflow.pyfunc.scoring_server import init

from favchat.config import TrackingConfig
from favchat.config import load as load_config
from favchat.hub.load import load
from favchat.hub.mlflow_flavor import add_flavor
from favchat.hub.names import resolve_model
from favchat.model.build import build
from favchat.tracking import start_run
from jobs.ask import run as ask
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE

CLIP = sorted((SAMPLE / "clips").glob("*.mp4"))[0]
QUESTION = "Is the person smiling?"  # the answer begins as the score says
TAUGHT = "[smile, talk]"


@pytest.fixture(scope="module")
def registered(centerface, new_store, tmp_path_factory):
    """The address of a store and the name of a registered model in it."""
    folder = tmp_path_factory.mktemp("registered")
    uri = new_store(folder / "mlflow.db")
    model, processor = build(load_config(CONFIGS / "tiny.yaml", [f"model.adapter.attributes={TAUGHT}"]).model, seed=0)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    add_flavor(folder / "model")
    name = start_run(TrackingConfig(uri=uri), "train").register_model(folder / "model", "faces")
    return uri, name


@pytest.fixture(scope="module")
def loaded(registered):
    uri, name = registered
    mlflow.set_tracking_uri(uri)
    yield mlflow.pyfunc.load_model("models:/faces@champion")
    mlflow.set_tracking_uri(None)


def test_it_answers_as_ask_does_from_a_path_and_from_bytes(registered, loaded):
    uri, name = registered
    place = str(resolve_model(name, TrackingConfig(uri=uri)))
    expected = ask(place, str(CLIP), [QUESTION], max_new_tokens=8)
    assert expected[0].startswith(("Yes", "No"))
    for video in ({"video": str(CLIP)}, {"video_bytes": CLIP.read_bytes()}):
        found = loaded.predict(pd.DataFrame([{"question": QUESTION} | video]), params={"max_new_tokens": 8})
        assert list(found["answer"]) == expected
        assert [*found["scores"][0]] == ["smile", "talk"]
        assert all(0 < score < 1 for score in found["scores"][0].values())


def test_mlflow_serves_it(loaded):
    record = {"question": QUESTION, "video_bytes": base64.b64encode(CLIP.read_bytes()).decode()}
    with TestClient(init(loaded)) as client:
        reply = client.post("/invocations", json={"dataframe_records": [record], "params": {"max_new_tokens": 8}})
        assert reply.status_code == 200, reply.text
        frame = pd.DataFrame([{"question": QUESTION, "video": str(CLIP)}])
        assert reply.json() == {"predictions": loaded.predict(frame, params={"max_new_tokens": 8}).to_dict("records")}
        assert client.post("/invocations", json={"dataframe_records": [{"question": "x"}]}).status_code == 400


def test_its_directory_is_still_one_to_load_from(registered):
    uri, name = registered
    model, processor = load(str(resolve_model(name, TrackingConfig(uri=uri))))
    assert model.config.adapter_config.attributes == processor.attributes == ["smile", "talk"]


@pytest.mark.slow
def test_mlflow_models_serve_answers_by_the_registered_name(registered):
    uri, _ = registered
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["models", "serve", "-m", "models:/faces@champion", "--env-manager", "local", "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", *words, "--host", "127.0.0.1", "--port", str(port)]
    record = {"question": QUESTION, "video": str(CLIP)}
    body = {"dataframe_records": [record], "params": {"max_new_tokens": 8}}
    # MLflow runs `uvicorn` by its name: the interpreter's own must be found where no environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"MLFLOW_TRACKING_URI": uri, "PATH": path}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        lines = []
        threading.Thread(target=lambda: lines.extend(process.stderr)).start()
        try:
            deadline = time.monotonic() + 240
            while True:
                assert process.poll() is None and time.monotonic() < deadline, "".join(lines)
                try:
                    reply = requests.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)
                    break
                except requests.ConnectionError:
                    time.sleep(0.5)
        finally:
            with suppress(ProcessLookupError):  # it ended by itself: the assertion above says why
                os.killpg(process.pid, signal.SIGKILL)
    assert reply.status_code == 200, reply.text
    (answer,) = reply.json()["predictions"]
    assert answer["answer"].startswith(("Yes", "No"))
    assert answer["scores"].keys() == {"smile", "talk"}
