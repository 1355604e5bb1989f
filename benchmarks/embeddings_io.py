"""Time to read, map and grow a data set of embeddings, by each route.

    python benchmarks/embeddings_io.py --rows 100000 --output benchmarks/io.jsonl

From a data set on disk to one float32 matrix, as it lies there and shuffled; every embedding
doubled by a map; the data set grown by half. The routes alternate in one process, and turn about
each round. Ratios are medians over rounds of two neighbouring runs. One JSON line a kind of work
and size.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, concatenate_datasets, disable_caching, disable_progress_bars
from embeddings_measuring import (
    Records,
    add_options,
    alternating,
    as_dataset,
    machine,
    mixture,
    summary,
    timed,
)


def reading(dataset: Dataset) -> dict[str, Callable[[], Any]]:
    """Routes from a data set to one float32 matrix."""
    from hf_oversample.data.embeddings import embedding_matrix

    return {
        "Arrow buffers": lambda: embedding_matrix(dataset, "embedding"),
        "numpy formatter": lambda: np.asarray(dataset.with_format("numpy")[:]["embedding"]),
        "torch formatter": lambda: dataset.with_format("torch")[:]["embedding"].numpy(),
        "python lists": lambda: np.asarray(dataset["embedding"][:], dtype=np.float32),
    }


def mapping(dataset: Dataset) -> dict[str, Callable[[], Any]]:
    """Routes to double every embedding by a map."""
    width = dataset.features["embedding"].length

    def in_arrow(table: pa.Table) -> pa.Table:
        flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False) * 2
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
        return table.set_column(table.column_names.index("embedding"), "embedding", column)

    def in_numpy(batch: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": batch["embedding"] * 2}

    def in_lists(batch: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": [[2 * value for value in row] for row in batch["embedding"]]}

    routes = {"arrow": in_arrow, "numpy": in_numpy, None: in_lists}
    return {
        f"map {form or 'python lists'}": lambda form=form, double=double: (  # type: ignore[misc]
            dataset.with_format(form).map(double, batched=True, features=dataset.features)
        )
        for form, double in routes.items()
    }


def growing(dataset: Dataset, seed: int) -> dict[str, Callable[[], Any]]:
    """Routes to the data set and half as many rows more."""
    from hf_oversample.oversamplers.smote import SmoteOversampler

    fitted = SmoteOversampler(seed=seed).fit(dataset)
    children = fitted.children(dataset)
    counts = np.bincount(fitted.fitted_plan().parent, minlength=len(dataset))

    def in_numpy(batch: dict[str, Any], rows: list[int]) -> dict[str, Any]:
        repeats = 1 + counts[rows]
        return {name: np.repeat(values, repeats, axis=0) for name, values in batch.items()}

    def in_lists(batch: dict[str, Any], rows: list[int]) -> dict[str, Any]:
        places = np.repeat(np.arange(len(rows)), 1 + counts[rows]).tolist()
        return {name: [values[place] for place in places] for name, values in batch.items()}

    def mapped(form: str | None, grow: Callable) -> Dataset:
        return dataset.with_format(form).map(
            grow, batched=True, with_indices=True, features=dataset.features
        )

    plain = children.select_columns(dataset.column_names)
    return {
        "concatenate made rows": lambda: concatenate_datasets([dataset, plain]),
        "balance, fitted": lambda: fitted.balance(dataset),
        "fit and balance": lambda: SmoteOversampler(seed=seed).balance(dataset),
        "map with the oversampler": lambda: dataset.map(fitted, batched=True, with_indices=True),
        "map numpy, copies": lambda: mapped("numpy", in_numpy),
        "map python lists, copies": lambda: mapped(None, in_lists),
    }


def routes(arguments: argparse.Namespace) -> None:
    """Every route of reading, mapping and growing, at each size."""
    records = Records(arguments.output)
    for rows in arguments.rows:
        # A quarter is minority, so that balancing grows the data set by half.
        points, labels = mixture(rows - rows // 4, rows // 4, arguments.width, arguments.seed)
        with tempfile.TemporaryDirectory(prefix="embeddings-", dir=arguments.scratch) as folder:
            as_dataset(points, labels).save_to_disk(folder)
            del points, labels
            dataset = Dataset.load_from_disk(folder)
            kinds = {
                "reading": reading(dataset),
                "reading, shuffled": reading(dataset.shuffle(seed=arguments.seed)),
                "mapping": mapping(dataset),
                "growing": growing(dataset, arguments.seed),
            }
            for kind, works in kinds.items():
                found: dict[str, list[dict[str, Any]]] = {name: [] for name in works}
                for name in works:  # warm-up: imports, page cache
                    works[name]()
                for _, name in alternating(tuple(works), arguments.rounds):
                    found[name].append(timed(works[name]))
                records.write(
                    benchmark="io",
                    kind=kind,
                    rows=rows,
                    width=arguments.width,
                    seed=arguments.seed,
                    rounds=arguments.rounds,
                    reference=next(iter(works)),
                    summary=summary(found, next(iter(works))),
                    machine=machine(),
                )


def main() -> None:
    """Measure, and write the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, rows=[100_000])
    disable_caching()
    disable_progress_bars()
    routes(parser.parse_args())


if __name__ == "__main__":
    main()
