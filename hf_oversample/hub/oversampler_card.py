"""The card of a fitted oversampler that is pushed by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from hf_oversample.hub.citations import PAPERS, citation
from hf_oversample.hub.rendering import rendered
from hf_oversample.hub.tables import markdown_table


def oversampler_card(
    name: str,
    params: Mapping[str, Any],
    counts: Sequence[tuple[str, int, int]],
    *,
    repo_id: str,
    version: str,
    columns: Mapping[str, str | None],
    license: str | None = None,
) -> ModelCard:
    """
    A card with the values of a fitted oversampler and the counts that it gives.

    Args:
        name: of its class.
        params: the constructor's values.
        counts: class, its rows, and the children that were planned for them.
        repo_id: what a reader passes to `from_pretrained`.
        version: of this package.
        columns: `label_column`, `text_column` and `embedding_column` that it was fitted on.
        license: of the rows, as the Hub names it; None: unknown.
    """
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Oversampler")).lower()
    run = {"versions": {"hf_oversample": version}, "arguments": {}}
    head = ModelCardData(
        model_name=name,
        library_name="hf_oversample",
        license=license or "unknown",
        tags=["oversampling", "imbalanced-data", *([method] if method in PAPERS else [])],
    )
    text = rendered(
        "oversampler.md",
        metadata=head.to_yaml().strip(),
        name=name,
        repo_id=repo_id,
        version=version,
        columns={role: column for role, column in columns.items() if column is not None},
        counts_table=markdown_table(["class", "rows", "children"], counts),
        params_table=markdown_table(["value", ""], [(k, repr(v)) for k, v in params.items()]),
        license=license or "unknown",
        citation=citation(run, method=method),
    )
    return ModelCard(text)
