"""Exact nearest neighbours: this package's search against the usual ones, alternating in one run.

    pip install faiss-cpu
    python benchmarks/neighbors.py --output benchmarks/neighbors.jsonl

The rows are the mixture of the other benchmarks of embeddings, as it is and with a near-duplicate
of every second row (off by 1e-3 of a coordinate's spread), as text embeddings have. The ways:

- package: `nearest_neighbors`, which chooses its precision; package float32: without bfloat16;
- cdist: `torch.cdist` by blocks of queries, then `topk`;
- products: ‖b‖² − 2ab by blocks of queries, then `topk`;
- re-ranked: products, then distances from differences in float64 for the k + 32 lowest, without a
  bound that would say whether these hold the neighbours;
- FAISS: `IndexFlatL2`; scikit-learn: `NearestNeighbors(algorithm="brute")`.

What is right is told by differences in float64 over all rows, for some of the queries: the share of
queries whose k neighbours and their order are right (a tie goes to the lower index), and the
largest error of a distance, as a share of the median distance.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import torch
from embeddings_measuring import Records, alternating, machine, mixture, timed, version
from sklearn.neighbors import NearestNeighbors

from hf_oversample.neighbors.difficult import nearest_neighbors

Found = tuple[np.ndarray, np.ndarray]
SIZES = ((100, 1_000), (1_000, 20_000), (10_000, 110_000))
BLOCK_BYTES = 64 * 2**20
MORE = 32


def _package(queries: np.ndarray, base: np.ndarray, k: int, dtype: str = "auto") -> Found:
    distances, indices = nearest_neighbors(queries, base, k, dtype=dtype)
    return distances.numpy(), indices.numpy()


def _cdist(queries: np.ndarray, base: np.ndarray, k: int) -> Found:
    rows = torch.from_numpy(base)

    def lowest(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch._cdist(part, rows).topk(k, largest=False)
        return found.values, found.indices

    return _by_blocks(queries, len(base), lowest)


def _products(queries: np.ndarray, base: np.ndarray, k: int) -> Found:
    rows = torch.from_numpy(base)
    squares = rows.square().sum(dim=1)

    def lowest(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch.addmm(squares, part, rows.T, alpha=-2.0).topk(k, largest=False)
        distances = found.values + part.square().sum(dim=1, keepdim=True)
        return distances.clamp_(min=0.0).sqrt_(), found.indices

    return _by_blocks(queries, len(base), lowest)


def _re_ranked(queries: np.ndarray, base: np.ndarray, k: int) -> Found:
    rows = torch.from_numpy(base)
    squares = rows.square().sum(dim=1)

    def lowest(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        some = min(k + MORE, len(base))
        values = torch.addmm(squares, part, rows.T, alpha=-2.0)
        indices = values.topk(some, largest=False).indices.sort(dim=1).values
        differences = rows[indices].double().sub_(part.double()[:, None])
        distances = torch.linalg.vector_norm(differences, dim=2).float()
        distances, order = distances.sort(dim=1, stable=True)
        return distances[:, :k], indices.gather(1, order)[:, :k]

    return _by_blocks(queries, len(base), lowest)


def _by_blocks(
    queries: np.ndarray, base: int, lowest: Callable[[torch.Tensor], tuple[Any, Any]]
) -> Found:
    parts = torch.from_numpy(queries).split(max(1, BLOCK_BYTES // (4 * base)))
    distances, indices = zip(*(lowest(part) for part in parts), strict=True)
    return torch.cat(distances).numpy(), torch.cat(indices).numpy()


def _faiss_flat(queries: np.ndarray, base: np.ndarray, k: int) -> Found:
    index = faiss.IndexFlatL2(base.shape[1])
    index.add(base)
    squares, indices = index.search(queries, k)
    return np.sqrt(np.maximum(squares, 0.0)), indices


def _scikit_learn(queries: np.ndarray, base: np.ndarray, k: int) -> Found:
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(base).kneighbors(queries)


WAYS: dict[str, Callable[[np.ndarray, np.ndarray, int], Found]] = {
    "package": _package,
    "package float32": lambda queries, base, k: _package(queries, base, k, "float32"),
    "cdist": _cdist,
    "products": _products,
    "re-ranked": _re_ranked,
    "FAISS": _faiss_flat,
    "scikit-learn": _scikit_learn,
}


def by_differences(queries: np.ndarray, base: np.ndarray, k: int) -> Found:
    """The definition, in float64, rounded to float32; ties by index."""
    distances, indices = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), int)
    for place, query in enumerate(queries.astype(np.float64)):
        length = np.empty(len(base), np.float32)
        for start in range(0, len(base), 10_000):
            difference = base[start : start + 10_000] - query
            length[start : start + 10_000] = np.sqrt(np.einsum("nd,nd->n", difference, difference))
        indices[place] = np.argsort(length, kind="stable")[:k]
        distances[place] = length[indices[place]]
    return distances, indices


def exactness(found: Found, expected: Found) -> dict[str, float]:
    """Share of queries with the right neighbours in order, and the largest error of a distance."""
    right = (found[1] == expected[1]).all(axis=1)
    error = np.abs(found[0] - expected[0]).max() / np.median(expected[0])
    return {"right": float(right.mean()), "largest_error": float(f"{error:.2g}")}


def _rows_of(count: int, width: int, seed: int, near_duplicates: bool) -> np.ndarray:
    base, _ = mixture(count, 0, width, seed)
    if near_duplicates:
        half = count // 2
        shake = np.random.default_rng(seed + 1).standard_normal((half, width), dtype=np.float32)
        base[half : 2 * half] = base[:half] + 1e-3 * shake
    return base


def main() -> None:
    """Measures each way at each size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=[f"{q}x{n}" for q, n in SIZES],
                        help="queries x rows")  # fmt: skip
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--checked", type=int, default=100, help="queries that are checked")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", help="file that the JSON lines are appended to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    records = Records(options.output)
    setting = machine()
    setting["versions"]["faiss-cpu"] = version("faiss-cpu")
    records.write(setting=setting, **vars(options))
    for size in options.sizes:
        count, rows = map(int, size.split("x"))
        for near_duplicates in (False, True):
            base = _rows_of(rows, options.width, options.seed, near_duplicates)
            chosen = np.random.default_rng(options.seed).choice(rows, count, replace=False)
            queries = base[chosen]
            expected = by_differences(queries[: options.checked], base, options.k)
            seconds: dict[str, list[float]] = {name: [] for name in WAYS}
            exact = {}
            for _, name in alternating(tuple(WAYS), options.rounds):
                found: list[Found] = []
                time = timed(lambda f=found, n=name, q=queries, b=base: f.append(
                    WAYS[n](q, b, options.k)))  # fmt: skip
                seconds[name].append(time["cpu_seconds" if options.threads == 1 else "seconds"])
                some = tuple(part[: options.checked] for part in found[0])
                exact[name] = exactness(some, expected)
            for name, times in seconds.items():
                ratios = [other / own for own, other in zip(times, seconds["package"], strict=True)]
                records.write(
                    queries=count,
                    rows=rows,
                    near_duplicates=near_duplicates,
                    way=name,
                    seconds=round(statistics.median(times), 4),
                    package_seconds_ratio=round(statistics.median(ratios), 3),
                    **exact[name],
                )


if __name__ == "__main__":
    main()
