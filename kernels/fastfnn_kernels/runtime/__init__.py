"""The environment that kernels run in: threads, the cache of compiled kernels and the CPU; see kernels/RUNTIME.md.

This module, `cpu_count` and `thread_count` import neither Numba nor NumPy.
"""

from fastfnn_kernels.runtime.thread_count import get_num_threads, set_num_threads, threads

__all__ = ["get_num_threads", "set_num_threads", "threads"]
