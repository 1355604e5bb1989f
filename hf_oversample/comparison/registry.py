"""The classifiers by name."""

from __future__ import annotations

from hf_oversample.comparison.base import Classifier
from hf_oversample.comparison.classifiers import FineTuned, TextCnn, TextCnnPretrainedWords, TextRnn
from hf_oversample.comparison.heads import Linear, Mlp

CLASSIFIERS: dict[str, type[Classifier]] = {
    kind.kind: kind for kind in (TextCnn, TextCnnPretrainedWords, TextRnn, Linear, Mlp, FineTuned)
}


def classifier_named(name: str, steps: int = 400) -> Classifier:
    """A classifier by the name of its kind.

    Args:
        name: "textcnn", "textcnn-pretrained-words", "textrnn", "linear", "mlp" or "finetune".
        steps: updates of each training ("linear" has none; "mlp": the fewest).

    Raises:
        ValueError: there is no such kind.
    """
    if name not in CLASSIFIERS:
        raise ValueError(f"there is no classifier {name!r}; there are {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name](steps=steps)  # type: ignore[call-arg]


def classifier_title(kind: str, encoder: str | None) -> str:
    """What people are shown for a kind of classifier; without an encoder the embeddings that heads
    read are those of latent semantic analysis."""
    title = CLASSIFIERS[kind].title
    return title if encoder else title.replace("frozen encoder", "latent semantic analysis")
