"""Damaged files of compiled kernels: each means compiling anew, and the right result.

A program of its own, because damaged machine code may do anything to a process that loads it.
`python tests/fuzz_kernels.py --seed 1 --count 300` damages the file of a small kernel 300 times; FASTFNN_CACHE_DIR
names an empty folder. The cache must return nothing each time. After every hundredth damage, the kernel is compiled
anew and computes.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fastfnn_kernels.jitted._compile.jit import In1, Kernel, Out1
from fastfnn_kernels.runtime.cache_folder import cache_folder
from fuzz_damage import OF_BYTES, Rng, damaged

DAMAGES_OF_COMPILATION = 100

X = np.array([1.0, -2.0, 3.5], np.float32)


def double(x: In1, out: Out1) -> None:
    for i in range(x.size):
        out[i] = x[i] + x[i]


def negate(x: In1, out: Out1) -> None:
    for i in range(x.size):
        out[i] = -x[i]


def exchange(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Put the whole file of another kernel in the place of one."""
    return other


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    warnings.simplefilter("error")
    logging.disable()  # each damage is a warning of the log
    path, content, look = written_by(double)
    _, other, _ = written_by(negate)
    for number in range(options.count):
        rng = np.random.default_rng([options.seed, number])
        path.write_bytes(damaged(rng, (*OF_BYTES, exchange), content, other))
        is_whole, is_loaded = path.read_bytes() == content, look()
        if is_loaded != is_whole or (number % DAMAGES_OF_COMPILATION == 0 and not is_right()):
            kept = shutil.copy(path, tempfile.mkdtemp(prefix="fuzz-"))
            sys.exit(f"kernels, --seed {options.seed}, damage {number}, kept as {kept}: loaded {is_loaded}")
    print(f"kernels: {options.count} damages, no finding", flush=True)


def written_by(function: Any) -> tuple[Path, bytes, Callable[[], bool]]:
    """Compile a function; return its file, the content, and a look whether the cache returns something for it."""
    before = set(cache_folder().glob("*"))
    kernel = Kernel(function)
    compiled = kernel.compile(X.dtype, parallel=False)
    (path,) = set(cache_folder().glob("*")) - before

    def look() -> bool:
        return compiled._cache.load_overload(kernel.argument_types(X.dtype), compiled.targetctx) is not None

    return path, path.read_bytes(), look


def is_right() -> bool:
    """Tell whether a kernel without an entry in memory computes what it should."""
    out = np.zeros_like(X)
    Kernel(double).serial[X.dtype](X, out)
    return out.tolist() == [2.0, -4.0, 7.0]


if __name__ == "__main__":
    main()
