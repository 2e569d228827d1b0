"""The operations of a feed-forward network, each written twice under one name and one signature.

`fastfnn_kernels.reference` is plain NumPy: the specification. `fastfnn_kernels.jitted` is the product: the
same functions as multithreaded Numba kernels. Arrays go in, arrays come out; nothing here knows layers or
networks. Import the one you want; only `jitted` needs Numba.

Examples
--------
>>> import numpy as np
>>> from fastfnn_kernels import reference
>>> reference.dense_forward(np.ones((1, 2)), np.ones((2, 3)), activation="relu")
array([[2., 2., 2.]])
"""

__version__ = "0.1.0"
