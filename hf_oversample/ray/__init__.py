"""Balancing on a cluster, with Ray Data: rows that are more than one machine holds.

    import hf_oversample.ray as on_ray
    balanced = on_ray.balance("rows", SmoteOversampler(), "out")  # a ray.data.Dataset

The tasks are those of :mod:`hf_oversample.oversamplers.sharded`, so the rows that come out are the
same as there and in memory, whatever the number of workers, and of those that died. All machines
must see the folders of rows and of output under the same names.
"""

from __future__ import annotations

try:
    import ray.data  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hf_oversample.ray needs Ray Data, which is not installed: pip install hf_oversample[ray]"
    ) from error

from hf_oversample.ray.balancing import balance as balance
from hf_oversample.ray.balancing import balanced_rows as balanced_rows
from hf_oversample.ray.embedding import embed_files as embed_files
from hf_oversample.ray.executor import RayTasks as RayTasks

__all__ = ["RayTasks", "balance", "balanced_rows", "embed_files"]
