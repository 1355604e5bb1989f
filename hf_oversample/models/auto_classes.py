"""Enters this package's models in the Auto classes of transformers, without importing either.

transformers keeps its own models in tables of names and imports a model's file when a checkpoint
asks for it. This module adds this package's names to those tables: at once if transformers' auto
modules are loaded already, and else right after their import, by an import hook. So
`import hf_oversample` stays cheap, the order of the imports does not matter, and
`AutoModelForSeq2SeqLM.from_pretrained(folder)` finds a MISO checkpoint in either case.

The public `AutoModel.register` takes classes, not names: to call it, `import hf_oversample` would
have to import torch, and called during transformers' own import it runs into a circular one.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_AUTO = "transformers.models.auto."

# model type → class name of its configuration; transformers' table → class name of the model.
CONFIGURATIONS = {
    "averaged_classifiers": "AveragedConfig",
    "miso": "MisoConfig",
    "bayesian_gan": "BayesianGanConfig",
    "embedding_mlp": "MlpConfig",
    "pooled_encoder": "PooledEncoderConfig",
    "textcnn": "TextCnnConfig",
    "textrnn": "TextRnnConfig",
}
MODELS = {
    "MODEL_MAPPING": {"miso": "MisoModel", "bayesian_gan": "BayesianGanModel"},
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING": {"miso": "MisoForAnchorGeneration"},
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING": {
        "averaged_classifiers": "AveragedForSequenceClassification",
        "embedding_mlp": "MlpForEmbeddingClassification",
        "pooled_encoder": "PooledEncoderForSequenceClassification",
        "textcnn": "TextCnnForSequenceClassification",
        "textrnn": "TextRnnForSequenceClassification",
    },
}
# Where the classes are that are no public names of this package's top.
MODULES = {
    "averaged_classifiers": "hf_oversample.models.classifiers.averaged",
    "pooled_encoder": "hf_oversample.models.classifiers.pooled_encoder",
}


class _LazyModule(ModuleType):
    """Stands for a module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _enter(table: Any, names: dict[str, str]) -> None:
    """Adds `names` to one of transformers' lazy tables; this package stands for their module, but
    for those of `MODULES`."""
    package = sys.modules["hf_oversample"]
    for model_type in names:
        place = MODULES.get(model_type)
        table._modules[model_type] = package if place is None else _LazyModule(place)


def _enter_configurations(module: ModuleType) -> None:
    table = module.CONFIG_MAPPING
    table._mapping.update(CONFIGURATIONS)
    _enter(table, CONFIGURATIONS)


def _enter_models(module: ModuleType) -> None:
    for name, models in MODELS.items():
        table = getattr(module, name)
        table._model_mapping.update(models)
        # Its own copies of the configuration table, made before ours was extended where
        # transformers was imported first.
        for model_type in models:
            table._config_mapping[model_type] = CONFIGURATIONS[model_type]
            table._reverse_config_mapping[CONFIGURATIONS[model_type]] = model_type
        _enter(table, models)


def _enter_tokenizers(module: ModuleType) -> None:
    # Its table of registered tokenizers holds classes. Ours needs nothing of transformers that is
    # not loaded by now, so it can be imported here.
    importlib.import_module("hf_oversample.text.tokenization").register_tokenizers()


AFTER_IMPORT: dict[str, Callable[[ModuleType], None]] = {
    _AUTO + "configuration_auto": _enter_configurations,
    _AUTO + "modeling_auto": _enter_models,
    _AUTO + "tokenization_auto": _enter_tokenizers,
}


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds the modules of `AFTER_IMPORT` as usual, and calls their function once executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        function = AFTER_IMPORT.get(fullname)
        if function is None:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)):
                break
        else:
            return None
        loader = spec.loader
        if loader is None:
            return spec
        execute = loader.exec_module

        def execute_and_enter(module: ModuleType) -> None:
            execute(module)
            function(module)

        loader.exec_module = execute_and_enter  # type: ignore[method-assign]
        return spec


def register() -> None:
    """Enters the models now, or as soon as transformers' auto modules are imported."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
    for name, function in AFTER_IMPORT.items():
        if name in sys.modules:
            function(sys.modules[name])
