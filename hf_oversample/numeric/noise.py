"""Counter-based randomness: every draw is a pure function of a seed and of integer counters.

A sequential generator gives a row another value when the rows before it change, so its output
depends on batch size, process count and order. Here a draw is *addressed* instead: the value for
``(seed, stream("gumbel"), row, child)`` is the same wherever and whenever it is asked for.

The hash chains the SplitMix64 finaliser (Steele, Lea and Flood, OOPSLA 2014; constants of
Stafford's "Mix13") over the counters. It is a statistical hash, not a cryptographic one.
"""

from __future__ import annotations

import hashlib
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

Counter = Any  # an int, or anything that numpy reads as an array of integers

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_CHAIN = np.uint64(0xD1342543DE82EF95)  # odd; Steele and Vigna 2022
_WORD = 0xFFFFFFFFFFFFFFFF
_LARGEST_HIGH = 2**32


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The SplitMix64 finaliser: a bijection of 64-bit words in which every bit reaches all."""
    with np.errstate(over="ignore"):  # wrapping modulo 2**64 is the point
        words = words + _GOLDEN
        words = (words ^ (words >> np.uint64(30))) * _MULTIPLIER_1
        words = (words ^ (words >> np.uint64(27))) * _MULTIPLIER_2
        return words ^ (words >> np.uint64(31))


def _words(counter: Counter) -> npt.NDArray[np.uint64]:
    """Integers of any sign and width as 64-bit words (modulo 2**64)."""
    if isinstance(counter, (bool, np.bool_)):
        raise TypeError("a seed or counter must be an integer or an array of integers, got a bool")
    if isinstance(counter, (int, np.integer)):
        return np.array(int(counter) & _WORD, dtype=np.uint64)
    array = np.asarray(counter)
    if array.size == 0 and array.dtype == np.float64:  # np.asarray([]) has no integers to show
        return np.zeros(array.shape, dtype=np.uint64)
    if array.dtype.kind not in "iu":
        raise TypeError(
            "a seed or counter must be an integer or an array of integers, got "
            f"{type(counter).__name__} of dtype {array.dtype}; to count by name, use stream(name)"
        )
    return array.astype(np.uint64)


def hash_counters(seed: int, *counters: Counter) -> npt.NDArray[np.uint64]:
    """Hash a seed and counters to 64-bit words.

    Args:
        seed: an integer; taken modulo 2**64.
        counters: integers or integer arrays, broadcast together. Their order matters.

    Returns:
        uint64 array of the broadcast shape (0-dimensional if all counters are scalars).

    Raises:
        TypeError: a counter is not integral.
    """
    state = _mix(_words(operator.index(seed)))
    for counter in counters:
        # The counter is mixed before it meets the state, because counters are small and
        # neighbouring. The state is multiplied, so that the two do not change places:
        # (seed 3, row 5) is not (seed 5, row 3), and equal words do not cancel.
        with np.errstate(over="ignore"):
            state = _mix(state * _CHAIN + _mix(_words(counter)))
    return np.asarray(state)


def uniform(seed: int, *counters: Counter) -> npt.NDArray[np.float64]:
    """Uniform draws in the open interval (0, 1), float64, one per element of the broadcast shape.

    The values are odd multiples of 2**-53: never 0 and never 1, so logarithms of the value and
    of one minus the value are finite.
    """
    odd = (hash_counters(seed, *counters) >> np.uint64(11)) | np.uint64(1)
    return odd.astype(np.float64) * 2.0**-53


def gumbel(seed: int, *counters: Counter) -> npt.NDArray[np.float64]:
    """Standard Gumbel draws, −ln(−ln u); argmax(logits + gumbel) samples softmax(logits)."""
    return -np.log(-np.log(uniform(seed, *counters)))


def normal(seed: int, *counters: Counter) -> npt.NDArray[np.float64]:
    """Standard normal draws (Box–Muller), within ±8.6 standard deviations."""
    radius = np.sqrt(-2.0 * np.log(uniform(seed, *counters, 0)))
    return radius * np.cos(2.0 * np.pi * uniform(seed, *counters, 1))


def integers(high: Counter, seed: int, *counters: Counter) -> npt.NDArray[np.int64]:
    """Integers drawn evenly from 0 … high − 1, int64.

    Args:
        high: exclusive upper bound(s), 1 … 2**32, broadcast with the counters. The bias of an
            integer is below high / 2**52.
        seed, counters: as in :func:`uniform`.

    Raises:
        ValueError: a bound outside 1 … 2**32.
    """
    bounds = np.asarray(high)
    if bounds.dtype.kind not in "iu" or np.any(bounds < 1) or np.any(bounds > _LARGEST_HIGH):
        raise ValueError(f"high must be integers in 1 … 2**32, got {high!r}")
    return np.floor(uniform(seed, *counters) * bounds).astype(np.int64)


def generator(seed: int, *counters: int) -> np.random.Generator:
    """A NumPy generator (Philox) keyed by the hash of (seed, counters), for sequential draws.

    Use it where one row needs an unknown number of draws: one generator a row, never one for all.
    """
    key = np.array([int(hash_counters(seed, *counters, half)) for half in (0, 1)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def stream(name: str) -> int:
    """A 63-bit counter for a name, the same in every process and version.

    It keeps uses apart: ``uniform(seed, stream("mask"), row)`` and
    ``uniform(seed, stream("fill"), row)`` are independent.
    """
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
