"""The package as a whole: cheap to import, complete, layered, declared, shipped with its files."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import metadata, resources
from pathlib import Path

import pytest

import hf_oversample
from hf_oversample.oversamplers import OVERSAMPLERS
from project import PROJECT, PYPROJECT, script

# What a method cannot be made without.
FIRST = {
    "MisoOversampler": {"generator": "some/name"},
    "LanguageModelOversampler": {"writer": "some/name"},
}
PACKAGE = PROJECT / "hf_oversample"
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def run_python(code: str) -> str:
    """Runs code in a fresh Python and returns what it prints."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str) -> bool:
    """Whether a dotted name is a module of this project."""
    path = PROJECT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere, but for those that only a type checker reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(inner for child in node.body for inner in ast.walk(child))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module_name(path).split(".")
            if path.name != "__init__.py":
                package = package[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            # `from hf_oversample.text import words` names a module, `import SomeClass` does not
            names = [".".join([*base, alias.name]) for alias in node.names]
            inner = [name for name in names if is_module(name)]
            yield from inner
            if len(inner) < len(names):
                yield ".".join(base)


def test_import_loads_no_heavy_library() -> None:
    heavy = ["torch", "transformers", "datasets", "accelerate", "sklearn", "numpy", "nltk", "jieba"]
    code = f"import sys, hf_oversample; print([m for m in {heavy} if m in sys.modules])"
    assert run_python(code) == "[]"


@pytest.mark.parametrize("name", hf_oversample.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(hf_oversample, name) is not None
    assert name in dir(hf_oversample)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = hf_oversample.Nothing


def test_randomness_has_one_name() -> None:
    """`seed`, but in the samplers for scikit-learn, whose users look for `random_state`."""
    others = {"random_state", "rng", "random_seed", "generator_seed", "rand_seed"}
    for name in hf_oversample.__all__:
        value = getattr(hf_oversample, name)
        if callable(value):
            assert not others & set(inspect.signature(value).parameters), name
    for name in OVERSAMPLERS:
        assert "seed" in getattr(hf_oversample, name)(**FIRST.get(name, {})).get_params()
    samplers = importlib.import_module("hf_oversample.sklearn")
    for name in samplers.__all__:
        names = set(inspect.signature(getattr(samplers, name)).parameters)
        assert "random_state" in names, name
        assert "seed" not in names, name


def test_type_checkers_see_the_same_names() -> None:
    public_names = script("public_names")
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert public_names.with_imports(source) == source, "run: python scripts/public_names.py"
    tree = ast.parse(source)
    block = next(n for n in tree.body if isinstance(n, ast.If) and "TYPE" in ast.unparse(n.test))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == hf_oversample._MODULE_OF
    # a name that is added to the list alone
    added = source.replace("_MODULE_OF = {", '_MODULE_OF = {\n    "New": "hf_oversample.new",')
    assert "    from hf_oversample.new import New as New\n" in public_names.with_imports(added)
    with pytest.raises(ValueError, match="needs one _MODULE_OF"):
        public_names.with_imports(source.replace("_MODULE_OF = {", "_OTHER = {"))


@pytest.mark.parametrize("name", ["comparison", "sklearn"])
def test_type_checkers_see_the_same_names_of_a_package(name: str) -> None:
    package = importlib.import_module(f"hf_oversample.{name}")
    tree = ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and "TYPE" in ast.unparse(n.test))
    seen = {
        alias.name: str(node.module).removeprefix(f"hf_oversample.{name}.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == package._MODULE_OF


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder for each Auto class: a tiny model of ours, saved."""
    from transformers import BertConfig

    sizes = {
        "vocab_size": 13,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 16,
    }
    body = BertConfig(**sizes).to_dict()
    miso = hf_oversample.MisoConfig(
        encoder=body, decoder=body, num_latent_heads=2, latent_size=4, bank_size=4
    )
    models = {
        "AutoModelForSeq2SeqLM": hf_oversample.MisoForAnchorGeneration(miso),
        "AutoModel": hf_oversample.MisoModel(miso),
        "AutoModelForSequenceClassification": hf_oversample.TextCnnForSequenceClassification(
            hf_oversample.TextCnnConfig(vocab_size=13)
        ),
    }
    folders = {}
    for name, model in models.items():
        folders[name] = str(tmp_path_factory.mktemp(name))
        model.save_pretrained(folders[name])
    return folders


@pytest.mark.parametrize("first", ["hf_oversample", "transformers"])
def test_auto_classes_load_our_checkpoints_in_either_order_of_import(
    checkpoints: dict[str, str], first: str
) -> None:
    names = ", ".join(checkpoints)
    statements = ["import hf_oversample", f"from transformers import AutoConfig, {names}"]
    if first == "transformers":
        statements.reverse()
    lines = [
        f"print(type({name}.from_pretrained({folder!r})).__name__)"
        for name, folder in checkpoints.items()
    ]
    lines.append(f"print(type(AutoConfig.from_pretrained({checkpoints['AutoModel']!r})).__name__)")
    printed = run_python("\n".join([*statements, *lines])).split()
    assert printed == [
        "MisoForAnchorGeneration",
        "MisoModel",
        "TextCnnForSequenceClassification",
        "MisoConfig",
    ]


def test_auto_classes_still_load_what_is_not_ours_and_refuse_what_nobody_has() -> None:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, BertConfig

    assert isinstance(AutoConfig.for_model("bert"), BertConfig)
    with pytest.raises(ValueError, match="nonesuch"):
        AutoConfig.for_model("nonesuch")
    with pytest.raises(ValueError, match="TextCnnConfig"):
        AutoModelForSeq2SeqLM.from_config(hf_oversample.TextCnnConfig(vocab_size=13))


# From the lowest: a package imports packages that stand before it, and none after it.
LAYERS = (
    "numeric",
    "neighbors",
    "text",
    "data",
    "hub",
    "models",
    "metrics",
    "transforms",
    "training",
    "oversamplers",
    "ray",
    "sklearn",
    "comparison",
    "commands",
)


def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sources("hf_oversample")}


def arrows() -> Iterator[tuple[str, str]]:
    """Each module with each of the package's modules that it imports, anywhere in its file."""
    known = modules()
    for name, path in known.items():
        for other in set(imported(path)):
            if other in known and other != name:
                yield name, other


def room(module: str) -> str:
    """The package at the top that a module is in; "" for the top itself."""
    return module.split(".")[1] if "." in module else ""


def test_the_layers_are_all_there_is() -> None:
    assert {room(module) for module in modules()} - {""} == set(LAYERS)


def test_imports_point_one_way() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, other in arrows()
        if room(name) and room(other) and LAYERS.index(room(other)) > LAYERS.index(room(name))
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph: dict[str, set[str]] = {}
    for name, other in arrows():
        # The top's names are loaded when they are asked for: it is its version that modules import.
        if name != "hf_oversample" and other != "hf_oversample":
            graph.setdefault(name, set()).add(other)
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError and names the circle


def test_the_top_holds_few_names() -> None:
    names = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(names) <= 16, names


def test_methods_do_not_import_each_other() -> None:
    """A method is a file, or a folder, of oversamplers/; what several share belongs to none."""
    places = {path.split(":")[0].split(".")[2] for path in OVERSAMPLERS.values()}
    assert {"smote", "amo", "miso", "simpor"} <= places
    for name, other in arrows():
        if not name.startswith("hf_oversample.oversamplers."):
            continue
        own, used = name.split(".")[2], [*other.split("."), "", ""][2]
        if own in places and used in places and room(other) == "oversamplers":
            assert own == used, f"{name} imports {other}"


def test_model_files_import_torch_transformers_and_siblings_only() -> None:
    """So that a model's folder can be shipped with its weights."""
    for package in ("miso", "bayesian_gan"):
        folder = sources(f"hf_oversample/models/{package}")
        files = [path for path in folder if f"_{package}." in path.name]
        assert len(files) > 2
        for path in files:
            ours = {m for m in imported(path) if m.startswith("hf_oversample")}
            assert all(m.startswith(f"hf_oversample.models.{package}") for m in ours), path.name


def test_processes_are_asked_for_in_one_place() -> None:
    """A plain `PartialState()` takes each of several processes on CPUs for the only one, for good:
    all of them would write the same files."""
    asked = ("PartialState(", "AcceleratorState(", "Accelerator(", "import PartialState")
    found = {
        path.relative_to(PROJECT).as_posix()
        for folder in ("hf_oversample", "recipes", "benchmarks")
        for path in (PROJECT / folder).rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in asked)
    }
    assert found == {"hf_oversample/training/accelerator.py"}


def test_every_import_is_a_declared_dependency() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    requirements = PYPROJECT["project"]["dependencies"] + [r for e in extras.values() for r in e]
    declared = {re.split(r"[<>=\[ ]", r)[0].lower().replace("_", "-") for r in requirements}
    owners = metadata.packages_distributions()
    missing = set()
    for path in sources("hf_oversample", "recipes", "scripts", "tests"):
        for module in imported(path):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or top not in owners or top == "hf_oversample":
                continue
            names = {name.lower().replace("_", "-") for name in owners[top]}
            if not names & declared:
                missing.add(f"{path.relative_to(PROJECT)} imports {top}")
    assert not missing, "\n".join(sorted(missing))


def test_the_card_templates_are_package_data() -> None:
    templates = resources.files("hf_oversample.hub").joinpath("templates")
    expected = {"dataset.md", "generator.md", "oversampler.md", "reembedding.md", "trainer.md"}
    assert {t.name for t in templates.iterdir()} == expected


def test_the_readmes_python_blocks_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)


def test_the_readmes_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (PROJECT / target).exists(), target


def test_nothing_unfinished_and_nothing_of_one_persons_machine() -> None:
    unfinished = "TO" + "DO|FIX" + r"ME|\bX" + r"XX\b"
    paths = r"(?<![\w.])/(?:ho" + "me|wo" + "rk|ro" + r"ot|tm" + r"p)/"
    # Notes that are not part of the project.
    notes = r"\b(?:fin" + r"dings|met" + r"hods|des" + r"ign|hugging" + r"face_rules)(?:\.md| \d)"
    pattern = re.compile(f"{unfinished}|{paths}|{notes}")
    files = sources("hf_oversample", "recipes", "scripts", "tests", "benchmarks")
    files += [*PROJECT.glob("*.md"), *(PROJECT / "benchmarks").rglob("*.md"), PROJECT / "Makefile"]
    files += [
        path for path in (PROJECT / "docs").rglob("*") if path.suffix in (".md", ".rst", ".py")
    ]
    found = [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_nothing_loads_pickles() -> None:
    for path in sources("hf_oversample", "recipes"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(?:pickle|dill|joblib)\.loads?\(|weights_only=False", text), path


def test_the_comparison_has_the_names_that_it_says() -> None:
    """The same for type checkers; none is hidden by a module of its name."""
    path = PACKAGE / "comparison" / "__init__.py"
    shown = [
        alias.asname
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hf_oversample")
        for alias in node.names
    ]
    code = (
        "import sys, hf_oversample.comparison as c, hf_oversample.comparison.remedies\n"
        "assert 'torch' not in sys.modules\n"
        "import hf_oversample.commands.compare\n"
        "print(*[n for n in c.__all__ if type(getattr(c, n)).__name__ != 'module'])"
    )
    assert sorted(run_python(code).split()) == sorted(shown)
