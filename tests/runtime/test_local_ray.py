"""A Ray of this machine's own works without the processes that it does without."""

import os
import subprocess
import sys

PRELOADED = """
import sys
import psutil
import ray
from favchat.config import RayConfig
from favchat.runtime import fork_server, ray_cluster

@ray.remote
def look():
    return "colorsys" in sys.modules, psutil.Process().parent().cmdline()

@ray.remote(max_retries=0)
def die():
    import os
    os._exit(1)

ray_cluster.start(RayConfig(address="local", num_cpus=1))
fork_server.start("colorsys")
(server,) = [one for one in psutil.Process().children() if "favchat.runtime.fork_server" in one.cmdline()]
imported, parent = False, ""
while server.cmdline() != parent:  # those that started before it was ready
    try:
        ray.get(die.remote())
    except ray.exceptions.WorkerCrashedError:
        pass
    imported, parent = ray.get(look.remote())
print(imported)
workers = server.children()
ray.shutdown()
psutil.wait_procs(workers, timeout=30)
print([one for one in workers if one.is_running()])
"""

CODE = """
import psutil
import ray
from favchat.config import RayConfig
from favchat.runtime import ray_cluster

ray_cluster.start(RayConfig(address="local", num_cpus=1))
print(ray.get(ray.remote(lambda: 6 * 7).remote()))
for process in psutil.Process().children(recursive=True):
    print(" ".join(process.cmdline()))
"""


def test_it_computes_without_dashboard_autoscaler_and_log_reader() -> None:
    # In a process of its own: the tests' Ray runs in this one.
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=dict(os.environ))
    answer, *processes = run.stdout.splitlines()
    assert answer == "42"
    assert any("/raylet " in command for command in processes)
    for unwanted in ("dashboard.py", "monitor.py"):  # the latter also of the logs
        assert not any(unwanted in command.split(" --")[0] for command in processes)
    # Whatever port is free: a second Ray on this machine need not wait for the first one's.
    assert any("agent.py" in command and "--listen-port=0" in command for command in processes)


def test_workers_are_forked_from_one_that_has_imported_what_they_need() -> None:
    run = subprocess.run([sys.executable, "-c", PRELOADED], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines()[-2:] == ["True", "[]"]
