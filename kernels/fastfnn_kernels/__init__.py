"""The operations of a feed-forward network, each in two versions with the same name and signature.

`fastfnn_kernels.reference` is plain NumPy and serves as the specification. `fastfnn_kernels.jitted` contains the fast
multithreaded Numba versions. Both take and return arrays and know nothing about layers or networks. Import the one
you want; only `jitted` needs Numba.

Examples
--------
>>> import numpy as np
>>> from fastfnn_kernels import reference
>>> reference.dense_forward(np.ones((1, 2)), np.ones((2, 3)), activation="relu")
array([[2., 2., 2.]])
"""

__version__ = "0.1.0"
