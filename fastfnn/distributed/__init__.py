"""Training by several processes, with the same bits on any number of them.

Each process has some of the rows. `mpi` connects the processes that a launcher such as mpiexec or srun has started;
`alone` is one process that computes the same bits. `fastfnn.Network.fit` takes either as its `communicator`.
"""

from fastfnn.distributed.alone import alone
from fastfnn.distributed.mpi import mpi
from fastfnn.training.agreement import ProcessFailedError

__all__ = ["ProcessFailedError", "alone", "mpi"]
