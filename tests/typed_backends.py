"""Both backends have the type of a backend: mypy reads this file, and nothing runs it."""

from fastfnn_kernels import jitted, reference
from fastfnn_kernels.protocol import Kernels

BACKENDS: tuple[Kernels, Kernels] = (reference, jitted)
