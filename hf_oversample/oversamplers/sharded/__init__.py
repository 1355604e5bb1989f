"""Balancing rows that do not fit into memory: parquet or Arrow files in, children's parquet
files out.

The work is cut into tasks (:mod:`.tasks`), pure functions of the files and the arguments, each of
which writes one numbered file whole and is skipped where that file is there. So what comes out is
the same, byte for byte, for every executor, number of workers and of restarts; and it is what the
oversampler's own ``balance`` makes of the same rows in memory.

:func:`balance_files` runs the tasks one after another in this process, holding a block of rows at
a time. :mod:`hf_oversample.ray` runs them on a cluster.
"""

from hf_oversample.oversamplers.sharded.balancing import balance_files as balance_files
