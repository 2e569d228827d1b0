"""The MPI library that is installed."""

from __future__ import annotations

from typing import Any


def mpi_library() -> Any:
    """Return the module of MPI, which starts MPI when it is first imported.

    Raises
    ------
    ImportError
        If mpi4py or an MPI library is not installed.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            'processes are connected by MPI: pip install "fastfnn[mpi]", and an MPI library if the system has none, '
            f"such as that of pip install mpich ({error})"
        ) from error
    return MPI
