"""Random numbers that are the same on every machine and with every version of numpy.

Number i of a stream is splitmix64 (Steele, Lea and Flood, OOPSLA 2014) at position i, from a start
that the SHA-256 of seed and name gives.  Integers become numbers of [-1, 1] exactly.
"""

import hashlib

import numpy as np


def integers(seed, name, count):
    """[count] uint64, uniform."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    start = np.uint64(int.from_bytes(digest[:8], "little"))
    with np.errstate(over="ignore"):
        z = start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def symmetric(seed, name, shape):
    """float64 of this shape, uniform in (-1, 1): odd multiples of 2^-24, never 0."""
    count = int(np.prod(shape, dtype=np.int64))
    top = (integers(seed, name, count) >> np.uint64(40)).astype(np.int64)
    return ((2 * top + 1 - 2**24) / 2.0**24).reshape(shape)
