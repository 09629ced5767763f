"""The manifests against KubeRay's custom resource definitions (ray.io/v1) and our own commands."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import ray
import yaml
from ray.serve.schema import ServeDeploySchema
from typer.testing import CliRunner

import favchat
import jobs.cli
from favchat.config import load
from jobs.cli import CONFIGS

CLUSTER = Path(jobs.cli.__file__).parent / "cluster"
KINDS = {"raycluster": "RayCluster", "rayjob": "RayJob", "rayservice": "RayService"}
ALLOWED = {
    "RayCluster": {"headGroupSpec", "workerGroupSpecs", "rayVersion"},
    "RayJob": {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"},
    "RayService": {"serveConfigV2", "rayClusterConfig"},
}


def manifest(name: str) -> dict:
    return yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())


def cluster_of(found: dict) -> dict:
    spec = found["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def groups(found: dict) -> list[dict]:
    spec = cluster_of(found)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


@pytest.mark.parametrize("name", KINDS)
def test_kind_and_fields_are_kuberays(name):
    found = manifest(name)
    assert set(found) == {"apiVersion", "kind", "metadata", "spec"}
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", KINDS[name])
    assert re.fullmatch(r"[a-z][a-z0-9-]*", found["metadata"]["name"])
    assert set(found["spec"]) <= ALLOWED[found["kind"]]
    cluster = cluster_of(found)
    assert set(cluster) == ALLOWED["RayCluster"]
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in groups(found):
        # KubeRay passes them on as options of `ray start`; they must be strings.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        volumes = {volume["name"] for volume in group["template"]["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_all_pods_run_one_image_of_this_version():
    images = {
        container["image"]
        for name in KINDS
        for group in groups(manifest(name))
        for container in group["template"]["spec"]["containers"]
    }
    assert images == {f"registry.example.com/favchat:{favchat.__version__}"}
    assert f"favchat:{favchat.__version__} ." in (CLUSTER / "Dockerfile").read_text()


def test_ray_is_one_version_everywhere():
    assert {cluster_of(manifest(name))["rayVersion"] for name in KINDS} == {ray.__version__}
    bases = re.findall(r"rayproject/ray:([\d.]+)-py(\d+)", (CLUSTER / "Dockerfile").read_text())
    assert set(bases) == {(ray.__version__, "311")}


def test_the_jobs_entrypoint_is_a_command_that_its_configuration_allows():
    program, command, config, *words = shlex.split(manifest("rayjob")["spec"]["entrypoint"])
    assert program == "favchat"
    done = CliRunner().invoke(jobs.cli.app, [command, config, *words, "--print-config"])
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.output)["training"]["out"] == "/data/run"


def test_the_served_application_is_the_one_of_serve_deploy():
    ours = yaml.safe_load((CLUSTER.parent.parent / "serve" / "deploy.yaml").read_text())
    found = ServeDeploySchema.model_validate(yaml.safe_load(manifest("rayservice")["spec"]["serveConfigV2"]))
    (application,) = found.applications
    assert application.import_path == ours["applications"][0]["import_path"]
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert {d.name for d in application.deployments} == {d["name"] for d in ours["applications"][0]["deployments"]}
    load(CONFIGS / f"{application.args['config']}.yaml", application.args["overrides"])


def test_the_lasting_cluster_asks_for_a_token():
    for group in groups(manifest("raycluster")):
        variables = {entry["name"]: entry for entry in group["template"]["spec"]["containers"][0]["env"]}
        assert variables["RAY_AUTH_MODE"]["value"] == "token"
        assert "secretKeyRef" in variables["RAY_AUTH_TOKEN"]["valueFrom"]
