"""More and better minority rows for imbalanced text data sets.

Importing this package imports neither torch nor transformers: every public name is loaded when it
is first used. The package's models are entered in transformers' Auto classes as names, and loaded
when a checkpoint of theirs is (see `hf_oversample.models.auto_classes`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hf_oversample.models import auto_classes

__version__ = "0.1.0.dev0"

_MODULE_OF = {
    "Oversampler": "hf_oversample.oversamplers.base",
    "RandomOversampler": "hf_oversample.oversamplers.random",
    "SmoteOversampler": "hf_oversample.oversamplers.smote",
    "BorderlineSmoteOversampler": "hf_oversample.oversamplers.borderline_smote",
    "AdasynOversampler": "hf_oversample.oversamplers.adasyn",
    "AmoOversampler": "hf_oversample.oversamplers.amo.oversampler",
    "SimporOversampler": "hf_oversample.oversamplers.simpor.oversampler",
    "BayesianGanOversampler": "hf_oversample.oversamplers.bayesian_gan",
    "EmcoOversampler": "hf_oversample.oversamplers.emco",
    "MisoOversampler": "hf_oversample.oversamplers.miso.oversampler",
    "LanguageModelOversampler": "hf_oversample.oversamplers.language_model.oversampler",
    "MlsmoteOversampler": "hf_oversample.oversamplers.mlsmote",
    "MlRosOversampler": "hf_oversample.oversamplers.ml_ros",
    "BayesianNetwork": "hf_oversample.models.bayesian_gan.network",
    "BayesianGanConfig": "hf_oversample.models.bayesian_gan.configuration_bayesian_gan",
    "BayesianGanModel": "hf_oversample.models.bayesian_gan.modeling_bayesian_gan",
    "BayesianGanTrainer": "hf_oversample.training.bayesian_gan",
    "BayesianGanTrainingArguments": "hf_oversample.training.bayesian_gan_arguments",
    "MisoConfig": "hf_oversample.models.miso.configuration_miso",
    "MisoModel": "hf_oversample.models.miso.modeling_miso",
    "MisoForAnchorGeneration": "hf_oversample.models.miso.modeling_miso",
    "TextCnnConfig": "hf_oversample.models.classifiers.textcnn",
    "TextCnnForSequenceClassification": "hf_oversample.models.classifiers.textcnn",
    "TextRnnConfig": "hf_oversample.models.classifiers.textrnn",
    "TextRnnForSequenceClassification": "hf_oversample.models.classifiers.textrnn",
    "MlpConfig": "hf_oversample.models.classifiers.mlp",
    "MlpForEmbeddingClassification": "hf_oversample.models.classifiers.mlp",
    "TextEmbedder": "hf_oversample.transforms.embed",
    "LatentDecoder": "hf_oversample.oversamplers.miso.latent_decoder",
    "AmoCollator": "hf_oversample.oversamplers.amo.collator",
    "difficult_samples": "hf_oversample.neighbors.difficult",
    "MisoTrainingArguments": "hf_oversample.training.arguments",
    "MisoTrainer": "hf_oversample.training.miso",
    "contrastive_dataset": "hf_oversample.training.contrastive_dataset",
    "minority_loss": "hf_oversample.training.trainer_losses",
}

__all__ = ["__version__", *_MODULE_OF]

if TYPE_CHECKING:  # written by scripts/public_names.py
    from hf_oversample.models.bayesian_gan.configuration_bayesian_gan import (
        BayesianGanConfig as BayesianGanConfig,
    )
    from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import (
        BayesianGanModel as BayesianGanModel,
    )
    from hf_oversample.models.bayesian_gan.network import BayesianNetwork as BayesianNetwork
    from hf_oversample.models.classifiers.mlp import MlpConfig as MlpConfig
    from hf_oversample.models.classifiers.mlp import (
        MlpForEmbeddingClassification as MlpForEmbeddingClassification,
    )
    from hf_oversample.models.classifiers.textcnn import TextCnnConfig as TextCnnConfig
    from hf_oversample.models.classifiers.textcnn import (
        TextCnnForSequenceClassification as TextCnnForSequenceClassification,
    )
    from hf_oversample.models.classifiers.textrnn import TextRnnConfig as TextRnnConfig
    from hf_oversample.models.classifiers.textrnn import (
        TextRnnForSequenceClassification as TextRnnForSequenceClassification,
    )
    from hf_oversample.models.miso.configuration_miso import MisoConfig as MisoConfig
    from hf_oversample.models.miso.modeling_miso import (
        MisoForAnchorGeneration as MisoForAnchorGeneration,
    )
    from hf_oversample.models.miso.modeling_miso import MisoModel as MisoModel
    from hf_oversample.neighbors.difficult import difficult_samples as difficult_samples
    from hf_oversample.oversamplers.adasyn import AdasynOversampler as AdasynOversampler
    from hf_oversample.oversamplers.amo.collator import AmoCollator as AmoCollator
    from hf_oversample.oversamplers.amo.oversampler import AmoOversampler as AmoOversampler
    from hf_oversample.oversamplers.base import Oversampler as Oversampler
    from hf_oversample.oversamplers.bayesian_gan import (
        BayesianGanOversampler as BayesianGanOversampler,
    )
    from hf_oversample.oversamplers.borderline_smote import (
        BorderlineSmoteOversampler as BorderlineSmoteOversampler,
    )
    from hf_oversample.oversamplers.emco import EmcoOversampler as EmcoOversampler
    from hf_oversample.oversamplers.language_model.oversampler import (
        LanguageModelOversampler as LanguageModelOversampler,
    )
    from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder as LatentDecoder
    from hf_oversample.oversamplers.miso.oversampler import MisoOversampler as MisoOversampler
    from hf_oversample.oversamplers.ml_ros import MlRosOversampler as MlRosOversampler
    from hf_oversample.oversamplers.mlsmote import MlsmoteOversampler as MlsmoteOversampler
    from hf_oversample.oversamplers.random import RandomOversampler as RandomOversampler
    from hf_oversample.oversamplers.simpor.oversampler import SimporOversampler as SimporOversampler
    from hf_oversample.oversamplers.smote import SmoteOversampler as SmoteOversampler
    from hf_oversample.training.arguments import MisoTrainingArguments as MisoTrainingArguments
    from hf_oversample.training.bayesian_gan import BayesianGanTrainer as BayesianGanTrainer
    from hf_oversample.training.bayesian_gan_arguments import (
        BayesianGanTrainingArguments as BayesianGanTrainingArguments,
    )
    from hf_oversample.training.contrastive_dataset import (
        contrastive_dataset as contrastive_dataset,
    )
    from hf_oversample.training.miso import MisoTrainer as MisoTrainer
    from hf_oversample.training.trainer_losses import minority_loss as minority_loss
    from hf_oversample.transforms.embed import TextEmbedder as TextEmbedder
# end of what scripts/public_names.py writes


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


auto_classes.register()
