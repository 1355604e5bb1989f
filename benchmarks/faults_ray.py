"""Balancing on Ray as a job of `faults.py`: drivers are stopped, and workers are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from faults_jobs import InFiles

_ENDS_WITHIN = 60.0


class OnRay(InFiles):
    """`hf_oversample.ray.balance`: the rows of `balance_files`, in two workers of a cluster.

    The cluster stays while drivers come and go, each in a job of its own. It should be the only
    one of the machine: workers are known by their titles, and in the end `ray stop` stops all.
    """

    name = "balance on Ray"

    def __init__(self) -> None:
        super().__init__()
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--num-cpus=2"]
        command += ["--include-dashboard=false", f"--object-store-memory={80 * 2**20}", "--port=0"]
        paths = os.pathsep.join(sys.path)
        environment = os.environ | {"RAY_worker_niceness": "0", "PYTHONPATH": paths}
        subprocess.run(command, env=environment, check=True, capture_output=True)

    def run(self, folder: Path) -> None:
        import ray

        import hf_oversample.ray as on_ray
        from hf_oversample import AdasynOversampler

        ray.init(address="auto", log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        on_ray.balance(self.inputs, AdasynOversampler(seed=3), folder / "out", block_rows=25)
        ray.shutdown()

    def settle(self) -> None:
        """Wait until no worker runs a task: those of a driver that was killed die a moment later.

        Raises:
            RuntimeError: they do not.
        """
        begun = time.monotonic()
        while running_workers():
            if time.monotonic() - begun > _ENDS_WITHIN:
                raise RuntimeError(f"workers outlive their driver by {_ENDS_WITHIN:.0f} s")
            time.sleep(0.05)

    def close(self) -> None:
        """Stop the cluster."""
        command = [Path(sys.executable).with_name("ray"), "stop", "--force"]
        subprocess.run(command, check=True, capture_output=True)


def running_workers() -> list[int]:
    """Processes of Ray that run a task of ours: `MapBatches`. Actors of Ray Data outlive all."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                title = (place / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if title.startswith(b"ray::Map"):
                found.append(int(place.name))
    return sorted(found)


def kill_a_worker(driver: int, chosen: random.Random) -> bool:
    """Kill one that works for a driver; whether there was one before the driver's end."""
    while not os.waitid(os.P_PID, driver, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if workers := running_workers():
            try:
                os.kill(chosen.choice(workers), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
        time.sleep(0.002)
    return False
