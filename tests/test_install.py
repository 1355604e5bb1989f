"""What is installed: the wheel by itself, and the environment that the README's commands make."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

import hf_oversample
from project import PROJECT, PYPROJECT, script


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path]
    answer = subprocess.run([*command, PROJECT], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert hf_oversample.__version__ in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"hf_oversample/hub/templates/generator.md", "hf_oversample/py.typed"} <= names
    assert "hf_oversample/comparison/templates/verdict.md" in names
    assert {name.split("/")[0] for name in names} <= {
        "hf_oversample",
        f"hf_oversample-{hf_oversample.__version__}.dist-info",
    }


@pytest.mark.slow
def test_the_wheel_alone_gives_the_command_the_templates_and_the_metrics(tmp_path: Path) -> None:
    """In an environment of its own, away from the clone; what it depends on is this one's."""

    def run(*words: str | Path) -> str:
        answer = subprocess.run(
            words, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": ""}
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path]
    run(*build, PROJECT)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    packages = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    # a path in such a file is searched, and its own .pth files, of a clone perhaps, are not read
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")

    python, command = binaries / "python", binaries / "hf-oversample"
    where = run(python, "-c", "import hf_oversample; print(hf_oversample.__file__)")
    assert str(packages) in where
    assert "balance" in run(command, "--help")
    lines = [f"see you at {n},ham" for n in range(12)] + [f"win prize {n},spam" for n in range(4)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    columns = ["rows.csv", "--text", "text", "--label", "label"]
    assert json.loads(run(command, "audit", *columns, "--format", "json"))
    run(command, "balance", *columns, "--method", "random", "-o", "out")
    assert "origin" in (tmp_path / "out" / "balanced" / "README.md").read_text(encoding="utf-8")
    load = (
        "import evaluate, hf_oversample.metrics, pathlib; "
        "folder = pathlib.Path(hf_oversample.metrics.__path__[0]) / 'distinct_n'; "
        "print(evaluate.load(str(folder)).compute(data=['a b', 'a c']))"
    )
    assert "distinct" in run(python, "-c", load)


@pytest.fixture
def install() -> ModuleType:
    return script("install")


@pytest.mark.parametrize(
    ("platform", "gpu", "unwanted", "expected"),
    [
        (
            "linux",
            False,
            ["nvidia-cublas", "triton"],
            "uv pip install --python py --torch-backend cpu",
        ),
        ("linux", False, [], "pip install --quiet torch"),
        ("linux", True, ["nvidia-cublas"], "pip install --quiet torch"),
        ("darwin", False, [], "pip install --quiet torch"),
    ],
)
def test_cuda_is_left_out_where_there_is_no_gpu(
    install: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    gpu: bool,
    unwanted: list[str],
    expected: str,
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(install.sys, "platform", platform)
    monkeypatch.setattr(install, "gpu_packages_with", lambda *_: unwanted)
    monkeypatch.setattr(install, "run", lambda *words: commands.append(" ".join(map(str, words))))
    install.install_torch(Path("py"), gpu)
    assert expected in commands[-1]
    assert install.TORCH in commands[-1]


def test_the_lowest_versions_keep_the_torch_that_is_there(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(install, "run", lambda *words: commands.append(" ".join(map(str, words))))
    constraints = tmp_path / "constraints.txt"
    install.install_lowest(Path(sys.executable), "project[dev]", constraints)
    assert constraints.read_text().strip() == f"torch=={metadata.version('torch')}"
    assert "--resolution lowest-direct" in commands[-1]
    assert f"--constraint {constraints}" in commands[-1]


def test_every_requirement_has_a_lowest_version_and_torchs_is_the_one_that_is_installed(
    install: ModuleType,
) -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    every = PYPROJECT["project"]["dependencies"] + [r for e in extras.values() for r in e]
    assert not [r for r in every if not re.search(r"[>=]=", r)]
    (torch,) = [r for r in every if r.startswith("torch>=")]
    lowest = torch.removeprefix("torch>=").split(",")[0]
    assert install.TORCH.removeprefix("torch==").startswith(f"{lowest}.")


def test_gpu_packages_are_told_by_name(install: ModuleType) -> None:
    gpu = ["nvidia-cublas", "nvidia_cudnn_cu13", "triton", "pytorch-triton", "cuda-bindings"]
    assert all(install.GPU_PACKAGE.match(name) for name in gpu)
    assert not any(install.GPU_PACKAGE.match(name) for name in ["torch", "numpy", "cudatext"])
