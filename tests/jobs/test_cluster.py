"""The manifests as kustomize builds them, against Kubernetes' schemas, KubeRay's fields and our own commands."""

import copy
import importlib
import json
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from kubernetes_validate import ValidationError
from ray.serve.schema import ServeDeploySchema
from typer.testing import CliRunner

import favchat
from favchat.config import load
from jobs.cli import app
from jobs.commands.settings import CONFIGS

CLUSTER = CONFIGS.parent / "cluster"
BUILDS = ["overlays/cpu", "overlays/gpu", "overlays/mlflow", "job", "service"]
RAY_FIELDS = yaml.safe_load((Path(__file__).parent / "kuberay_fields.yaml").read_text())
KUBERNETES = "1.33.0"
KUSTOMIZE = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]


@cache
def _built(place: str) -> str:
    if not shutil.which(KUSTOMIZE[0]):
        pytest.skip("neither kustomize nor kubectl is installed")
    done = subprocess.run([*KUSTOMIZE, str(CLUSTER / place)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(place: str) -> list[dict]:
    return list(yaml.safe_load_all(_built(place)))


def plain(name: str) -> list[dict]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def rays(found: list[dict]) -> list[dict]:
    return [one for one in found if one["apiVersion"] == "ray.io/v1"]


def cluster_of(found: dict) -> dict:
    spec = found["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def groups(found: dict) -> list[dict]:
    spec = cluster_of(found)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def templates(found: dict) -> list[dict]:
    if found["apiVersion"] == "ray.io/v1":
        return [group["template"] for group in groups(found)]
    return [found["spec"]["template"]] if found["kind"] in ("Deployment", "StatefulSet") else []


def check(found: dict) -> None:
    if found["apiVersion"] == "ray.io/v1":
        jsonschema.validate(found, RAY_FIELDS)
        for template in templates(found):
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    else:
        kubernetes_validate.validate(found, KUBERNETES, strict=True)


@pytest.mark.parametrize("place", BUILDS)
def test_what_kustomize_builds_fits_the_schemas(place):
    found = built(place)
    assert rays(found)
    for one in found:
        check(one)


@pytest.mark.parametrize("name", ["base/raycluster.yaml", "job/rayjob.yaml", "service/rayservice.yaml"])
def test_what_is_written_fits_them_too(name):
    for one in plain(name):
        check(one)


def test_a_misspelt_field_is_found():
    (found,) = plain("job/rayjob.yaml")
    for change in (
        lambda one: one["spec"].update(backOffLimit=1),
        lambda one: one["spec"]["rayClusterSpec"]["authOptions"].update(mode="tokens"),
        lambda one: one["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].update(minReplicas="1"),
        lambda one: groups(one)[0]["template"]["spec"]["containers"][0].update(volumeMount=[]),
        lambda one: groups(one)[0]["template"]["spec"]["securityContext"].update(fsGroup="100"),
    ):
        wrong = copy.deepcopy(found)
        change(wrong)
        with pytest.raises((jsonschema.ValidationError, ValidationError)):
            check(wrong)


@pytest.mark.parametrize("place", BUILDS)
def test_every_pod_is_bounded_unprivileged_and_finds_its_volumes(place):
    for one in built(place):
        for template in templates(one):
            spec = template["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["fsGroup"] in (100, 999)
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
            for container in spec["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
                assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
                assert re.search(r":[\w.-]+$", container["image"]), "an image without a version"


def test_every_cluster_grows_by_itself_and_asks_for_a_token():
    for place in BUILDS:
        for one in rays(built(place)):
            cluster = cluster_of(one)
            assert cluster["enableInTreeAutoscaling"] is True
            assert cluster["authOptions"] == {"mode": "token"}
            assert cluster["rayVersion"] == ray.__version__
            for group in cluster["workerGroupSpecs"]:
                assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    gpus = [group for one in rays(built("overlays/gpu")) for group in cluster_of(one)["workerGroupSpecs"]][-1]
    assert (gpus["groupName"], gpus["minReplicas"], gpus["replicas"]) == ("gpu", 0, 0)
    spec = gpus["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["containers"][0]["image"].endswith("-gpu")
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


def test_a_job_is_tried_again_and_has_a_deadline():
    (job,) = rays(built("job"))
    assert job["spec"]["backoffLimit"] > 0
    assert job["spec"]["activeDeadlineSeconds"] > 0


def test_nobody_else_reaches_the_cluster():
    (policy,) = [one for one in built("overlays/cpu") if one["kind"] == "NetworkPolicy"]
    labelled = policy["spec"]["podSelector"]["matchExpressions"]
    assert labelled == [{"key": "ray.io/cluster", "operator": "Exists"}]  # which KubeRay puts on each of its pods
    for rule in policy["spec"]["ingress"]:
        assert rule.get("from") or [port["port"] for port in rule["ports"]] == [8000]


def test_images_are_of_this_version_and_built_by_the_dockerfile():
    text = (CLUSTER / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM .* AS (\S+)", text, re.MULTILINE))
    ours = {
        container["image"]
        for place in BUILDS
        for one in built(place)
        for template in templates(one)
        for container in template["spec"]["containers"]
        if "favchat" in container["image"]
    }
    assert ours == {f"registry.example.com/favchat:{favchat.__version__}-{kind}" for kind in ("cpu", "gpu")}
    for kind in ("cpu", "gpu"):
        assert kind in stages
        assert f"--target {kind} -t REGISTRY/favchat:{favchat.__version__}-{kind} ." in text
    assert set(re.findall(r"rayproject/ray:([\d.]+)-py(\d+)", text)) == {(ray.__version__, "311")}
    assert text.count("USER 1000:100") == 2
    assert "USER root" not in text


def test_what_the_dockerfile_copies_is_let_into_the_build():
    ignored = (CLUSTER.parent.parent / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    for word in (
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "platform",
        "jobs",
        "serve",
        "tune",
        "ui",
    ):
        assert f"!{word}" in ignored
        assert (CLUSTER.parent.parent / word).exists()


def test_the_jobs_entrypoint_is_a_command_that_its_configuration_allows():
    (found,) = plain("job/rayjob.yaml")
    program, command, config, *words = shlex.split(found["spec"]["entrypoint"])
    assert program == "favchat"
    done = CliRunner().invoke(app, [command, config, *words, "--print-config"])
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.output)["pipeline"]["out"] == "/data/all"


def test_the_served_application_is_the_one_of_serve_deploy():
    ours = yaml.safe_load((CLUSTER.parent.parent / "serve" / "deploy.yaml").read_text())
    (service,) = plain("service/rayservice.yaml")
    found = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    (application,) = found.applications
    assert application.import_path == ours["applications"][0]["import_path"]
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert {d.name for d in application.deployments} == {d["name"] for d in ours["applications"][0]["deployments"]}
    load(CONFIGS / f"{application.args['config']}.yaml", application.args["overrides"])


def test_probes_are_paths_that_the_api_answers_without_a_key():
    from serve.health import LIVE, PROBES, READY

    (service,) = plain("service/rayservice.yaml")
    (worker,) = groups(service)[1]["template"]["spec"]["containers"]
    assert worker["readinessProbe"]["httpGet"] == {"path": READY, "port": 8000}
    (deployment,) = [one for one in plain("service/deployment.yaml") if one["kind"] == "Deployment"]
    check(deployment)
    (api,) = deployment["spec"]["template"]["spec"]["containers"]
    paths = [api[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    assert paths == [READY, LIVE, READY]
    assert {LIVE, READY} == set(PROBES)
    load(CONFIGS / f"{api['command'][2]}.yaml", api["args"])


def test_ports_that_are_scraped_are_ports_of_the_pods():
    pods, service = plain("monitoring/monitors.yaml")
    (endpoint,) = pods["spec"]["podMetricsEndpoints"]
    for place in BUILDS:
        for one in rays(built(place)):
            for group in groups(one):
                ports = {
                    port["name"]: port["containerPort"] for port in group["template"]["spec"]["containers"][0]["ports"]
                }
                assert str(ports[endpoint["port"]]) == group["rayStartParams"]["metrics-export-port"]
    assert service["spec"]["endpoints"][0]["path"] == "/metrics"


def test_the_dashboard_asks_for_metrics_that_ray_has():
    panels = json.loads((CLUSTER / "monitoring" / "ray.json").read_text())["panels"]
    asked = {name for panel in panels for target in panel["targets"] for name in re.findall(r"ray_\w+", target["expr"])}
    dashboard = Path(ray.__file__).parent / "dashboard" / "modules"
    files = [*(dashboard / "metrics" / "dashboards").glob("*.py"), dashboard / "reporter" / "reporter_agent.py"]
    known = " ".join(file.read_text() for file in files)
    missing = [name for name in asked if name not in known and f'"{name.removeprefix("ray_")}"' not in known]
    assert len(asked) > 10
    assert not missing


def test_prometheus_reads_what_ray_writes():
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    (settings,) = plain("monitoring/prometheus.yml")
    api, cluster = settings["scrape_configs"]
    assert cluster["file_sd_configs"][0]["files"] == [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]  # noqa: S108
    assert api["static_configs"][0]["targets"] == ["127.0.0.1:8000"]


SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do [[ $1 == --nodelist=* ]] && node=${1#--nodelist=}; shift; done
echo "$node: $*" >> "$CALLS"
case "$*" in
  "hostname -I") echo "10.0.0.1 fe80::1";;
  "ray start"*) exec sleep 30;;
  "favchat fails") exit 7;;
  favchat*) echo "token $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $(wc -c < "$RAY_AUTH_TOKEN_PATH") at $RAY_ADDRESS";;
esac
"""


@pytest.fixture
def slurm(tmp_path):
    """Runs the script where Slurm's commands note what they are asked for."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"srun": SRUN, "scontrol": "#!/bin/bash\nprintf 'a\\nb\\nc\\n'\n"}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    environment = {
        "PATH": f"{commands}:/usr/bin:/bin",
        "CALLS": str(calls),
        "SLURM_JOB_ID": "5",
        "SLURM_CPUS_ON_NODE": "8",
    }
    environment |= {"SLURM_JOB_NODELIST": "a,b,c", "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_GPUS_ON_NODE": "2"}

    def run(*words):
        script = ["bash", str(CLUSTER / "slurm.sh"), *words]
        done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60)
        return done, calls.read_text().splitlines()

    return run


def test_slurm_starts_a_head_and_workers_and_gives_the_commands_own_status(slurm, tmp_path):
    done, calls = slurm("favchat", "train", "nano")
    assert done.returncode == 0, done.stderr
    assert "token 600 64 at 10.0.0.1:6379" in done.stdout
    starts = sorted(call for call in calls if "ray start" in call)
    assert [call[0] for call in starts] == ["a", "b", "c"]
    assert "--head" in starts[0] and "--num-cpus=8 --num-gpus=2" in starts[0]
    assert all("--address=10.0.0.1:6379" in call for call in starts[1:])
    assert "a: favchat train nano" in calls
    assert not list(tmp_path.glob(".favchat-ray-*"))
    assert slurm("favchat", "fails")[0].returncode == 7
    assert slurm()[0].returncode == 2
