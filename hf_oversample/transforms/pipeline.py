"""`pipeline("text-classification")` that reads scores by the decision in a model's config."""

from __future__ import annotations

from typing import Any

from transformers import TextClassificationPipeline

from hf_oversample.metrics.decisions import decision_of
from hf_oversample.metrics.label_decisions import LabelDecision


class MinorityTextClassificationPipeline(TextClassificationPipeline):
    """Transformers' pipeline with calibrated probabilities and a chosen threshold.

    ``pipeline("text-classification", model, pipeline_class=MinorityTextClassificationPipeline)``

    The label is the one that the decision takes, its score the calibrated probability: above a
    moved threshold a rare class may be taken at a score below one half. With ``top_k``, labels come
    in the order in which the decision prefers them.

    Where the decision is of any number of labels
    (:class:`~hf_oversample.metrics.label_decisions.LabelDecision`), a text gets the list of the
    labels that reach their thresholds, the farthest above first; it may be empty. With ``top_k``,
    labels come in this order whether they reach them or not.

    Raises:
        ValueError: the model's config has no decision; or ``function_to_apply`` is given, which a
            decision takes the place of.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decision = decision_of(self.model.config)

    def postprocess(
        self,
        model_outputs: Any,
        function_to_apply: Any = None,
        top_k: int | None = 1,
        _legacy: bool = True,
    ) -> Any:
        """One text's label and score, or a list of ``top_k`` (None: all) of them; of several labels
        by default a list of those that are taken."""
        if function_to_apply is not None:
            raise ValueError(
                f"function_to_apply={function_to_apply}: this pipeline applies the decision of the "
                "model's config; take TextClassificationPipeline for other scores"
            )
        stated = self.decision.probabilities(model_outputs["logits"].float().numpy())
        order = self.decision.ranks(stated)[0].argsort(kind="stable")[::-1]
        names = self.model.config.id2label
        told = [{"label": names[k], "score": float(stated[0, k])} for k in order.tolist()]
        if isinstance(self.decision, LabelDecision) and top_k == 1 and _legacy:
            return told[: int(self.decision.labels(stated)[0].sum())]
        return told[0] if top_k == 1 and _legacy else told[:top_k]
