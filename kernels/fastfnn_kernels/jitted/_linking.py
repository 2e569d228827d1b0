"""Machine code of what is called, and of nothing that is only linked.

Numba optimises every function that a kernel calls and makes machine code of it, with all that has been linked so
far, though the copy that is linked with the kernel, and optimised once more, is the one that runs. It does so three
times more for the body of a parallel loop and its two wrappers. Here all of them are only linked, which saves a third
of the time that a kernel takes to compile.
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
    """A library that has machine code if it is the kernel's, and else is there to be linked."""

    kernel = ""

    @property
    def codegen(self) -> Any:
        return self._codegen if self.name == self.kernel else _WithoutAddresses(self._codegen)

    def _optimize_final_module(self) -> None:
        if self.name == self.kernel:  # as a whole, with all others in it
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
    """Numba's code generator for a function that nothing calls where it is: its environment has no address."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Leave the environment as it is: a function without exceptions and Python objects does not look at it."""


@contextlib.contextmanager
def all_but_linked(kernel: str) -> Iterator[None]:
    """Make machine code of the function `kernel` alone as long as a `with` lasts; nobody else compiles meanwhile.

    Parameters
    ----------
    kernel : str
        Its qualified name.
    """
    with global_compiler_lock:
        codegen = cpu_target.target_context.codegen()
        before = codegen._library_class
        codegen._library_class = type("Library", (_Library,), {"kernel": kernel})
        try:
            yield
        finally:
            codegen._library_class = before
