"""What the kernels run on: threads, their layer, the cache of compiled kernels, the CPU; see kernels/RUNTIME.md.

This module and those of the number of CPUs and threads import neither Numba nor NumPy.
"""

from fastfnn_kernels.runtime.thread_count import get_num_threads, set_num_threads, threads

__all__ = ["get_num_threads", "set_num_threads", "threads"]
