"""Generating machine code for kernels only: the functions that they call are just linked.

By default, Numba optimises every function that a kernel calls and generates machine code for it, including everything
linked into it so far. That machine code never runs: the kernel contains its own copy of the function, which is
optimised again. The body of a parallel loop and its two wrappers cost three more such rounds. Here, all of these are
only linked, which saves a third of a kernel's compile time.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """A library that generates machine code only if it is the kernel's; others are only linked."""

    kernel = ""

    @property
    def codegen(self) -> Any:
        return self._codegen if self.name == self.kernel else _WithoutAddresses(self._codegen)

    def _optimize_final_module(self) -> None:
        if self.name == self.kernel:  # including all libraries linked into it
            super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        if self.name == self.kernel:
            super()._finalize_final_module()
            return
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._final_module.__library = weakref.proxy(self)
        self._finalized = True


class _WithoutAddresses:
    """Numba's code generator for a function without machine code, whose environment therefore has no address."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: a function without exceptions and Python objects does not use its environment."""


@contextlib.contextmanager
def all_but_linked(kernel: str) -> Iterator[None]:
    """Generate machine code for the function `kernel` only inside the `with`, where no other thread can compile.

    Parameters
    ----------
    kernel : str
        The function's qualified name.
    """
    with global_compiler_lock:
        codegen = cpu_target.target_context.codegen()
        before = codegen._library_class
        codegen._library_class = type("Library", (_Library,), {"kernel": kernel})
        try:
            yield
        finally:
            codegen._library_class = before
