"""Building the application, and the Serve YAML."""

import signal
import socket
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from safetensors.torch import load_file
from transformers import LlamaConfig

import serve.app
from favchat.config import Config, ConfigError, ServeConfig, TrackingConfig
from favchat.hub import shipped_model
from favchat.model import FaVChatAdapterConfig, FaVChatConfig
from favchat.tracking import start_run
from jobs.key import run as make_key
from serve.app import ENDING, address, application, build_app, resolve_config, serving
from serve.body_limit import BODIES

DEPLOY = Path(serve.__file__).parent / "deploy.yaml"


def test_the_serve_yaml_names_the_application_and_its_deployments(model_folder, tmp_path) -> None:
    schema = ServeDeploySchema.model_validate(yaml.safe_load(DEPLOY.read_text()))
    [app] = schema.applications
    assert app.import_path == "serve.app:build_app"
    here = [f"serve.model={model_folder}", f"serve.store={tmp_path}"]
    # Ray Serve calls it with the file's mapping as it is.
    built = build_app({**app.args, "overrides": [*app.args["overrides"], *here]})
    names = {built._bound_deployment.name}
    names |= {part._bound_deployment.name for part in built._bound_deployment.init_args[1:4]}
    assert names == {deployment.name for deployment in app.deployments}


def test_every_queue_is_bounded(tmp_path) -> None:
    config = Config(serve=ServeConfig(model="m", store=str(tmp_path), max_queued_requests=5, max_ongoing_requests=7))
    api = application(config)._bound_deployment
    parts = {part._bound_deployment.name: part._bound_deployment for part in api.init_args[1:4]}
    assert {name: part.max_queued_requests for name, part in parts.items()} == {"media": 5, "encoder": 5, "engine": 5}
    assert parts["engine"].max_ongoing_requests == 7
    # The API must let enough in for the queues behind it to fill: theirs are the errors that a client can read.
    assert api.max_ongoing_requests > 7 + 5 + BODIES
    assert 7 + 5 < api.max_queued_requests < 100


def test_without_a_model_the_packages_own_is_served(stand_in, tmp_path) -> None:
    found = resolve_config(Config(serve=ServeConfig(store=str(tmp_path)))).serve
    assert found.model == str(shipped_model.path())


def test_other_arguments_than_the_yamls_are_refused() -> None:
    with pytest.raises(ValueError, match="override"):
        build_app({"config": "tiny", "override": ["serve.model=somewhere"]})


def test_what_is_no_model_is_told_before_anything_starts(tmp_path) -> None:
    with pytest.raises(ConfigError, match="serve.model = .*no model here"):
        resolve_config(Config(serve=ServeConfig(model=str(tmp_path))))
    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="a llama model"):
        resolve_config(Config(serve=ServeConfig(model=str(tmp_path))))


def test_a_model_whose_tokens_depend_on_the_question_is_refused(tmp_path) -> None:
    FaVChatConfig(adapter_config=FaVChatAdapterConfig(route_by_question=True)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="its router reads the question"):
        resolve_config(Config(serve=ServeConfig(model=str(tmp_path))))


def test_paths_hold_in_every_process(model_folder, monkeypatch) -> None:
    monkeypatch.chdir(model_folder.parent)
    found = resolve_config(Config(serve=ServeConfig(model="model", store="store"))).serve
    assert (found.model, found.store) == (str(model_folder), str(model_folder.parent / "store"))


def test_a_taken_port_is_told_before_anything_starts(model_folder, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(serve.app.ray_cluster, "start", lambda _: pytest.fail("started a cluster"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"serve.port = {port}"),
            serving(Config(serve=ServeConfig(model=str(model_folder), port=port))),
        ):
            pass
    assert not list(tmp_path.iterdir())  # the temporary store is gone


def test_a_second_signal_does_not_break_off_what_the_first_began() -> None:
    """In the orders in which shells and supervisors send them."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for first, second in (ENDING, ENDING[::-1]):
            for number in ENDING:
                signal.signal(number, serve.app._end_once)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(first)
            for number in (second, first, second):
                signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_look_for_models_that_hangs_does_not_keep_the_server_from_ending(monkeypatch, tmp_path) -> None:
    begun, done = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        begun.set()
        done.wait()

    said: list[str] = []
    applications = SimpleNamespace(start=lambda _: ["media", "encoder", "engine"], end=lambda: said.append("ended"))
    monkeypatch.setattr(serve.app, "ModelApplications", lambda _: applications)
    monkeypatch.setattr(serve.app, "ray_serve", SimpleNamespace(start=lambda **_: None, run=lambda *_, **__: None))
    monkeypatch.setattr(serve.app, "front", lambda *_: None)
    monkeypatch.setattr(serve.app, "drain", lambda seconds: said.append("drained"))
    monkeypatch.setattr(serve.app, "Reloader", lambda *_, **__: SimpleNamespace(look=hang))
    monkeypatch.setattr(serve.app, "LOOKING_PATIENCE", 0.05)
    config = Config(serve=ServeConfig(model="m", store=str(tmp_path), reload_seconds=0.01))
    with serve.app.deployed(config, config, said.append):
        assert begun.wait(10)
    done.set()
    assert said == ["drained", "ended"]


def test_address() -> None:
    assert address(Config(serve=ServeConfig(host="0.0.0.0", port=81))) == "http://127.0.0.1:81/v1"  # noqa: S104
    assert address(Config(serve=ServeConfig(host="10.0.0.2"))) == "http://10.0.0.2:8000/v1"


def test_a_registered_model_is_served_from_where_it_lies(model_folder, new_store, tmp_path) -> None:
    tracking = TrackingConfig(uri=new_store(tmp_path / "mlflow.db"))
    start_run(tracking, "train").register_model(model_folder, "faces")
    stored = resolve_config(
        Config(serve=ServeConfig(model="models:/faces@champion", store=str(tmp_path)), tracking=tracking)
    )
    files = Path(stored.serve.model or "").glob("model-*.safetensors")
    weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
    expected = load_file(model_folder / "model.safetensors")
    assert weights.keys() == expected.keys() and all(weights[name].equal(expected[name]) for name in expected)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.2"])  # noqa: S104 - refused, not bound to
def test_the_network_may_ask_only_with_keys_or_where_that_is_said(host, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(serve.app, "resolve_config", lambda _: pytest.fail("went on"))
    with pytest.raises(ConfigError, match="serve.auth=off"), serving(Config(serve=ServeConfig(host=host))):
        pass
    with pytest.raises(ConfigError, match="favchat key"):
        build_app({"config": "nano", "overrides": [f"serve.host={host}"]})
    keys = tmp_path / "keys.yaml"
    keys.write_text("")
    with pytest.raises(ConfigError, match="no key"):
        serve.app.refuse_open_door(ServeConfig(host=host, keys_file=str(keys)))
    make_key("ann", file=keys, say=lambda _: None)
    for way in ({"auth": "off"}, {"keys_file": str(keys)}):
        serve.app.refuse_open_door(ServeConfig(host=host, **way))
    for near in ("127.0.0.1", "localhost", "::1"):
        serve.app.refuse_open_door(ServeConfig(host=near))
