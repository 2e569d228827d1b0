"""Machine code of a parallel loop, made twice less often.

Numba wraps the body of a parallel loop two times before the kernel that calls it, and makes machine code of all that
has been linked so far each time: four times for a body, of which the kernel's own is the one that runs. Here the
wrappers are only linked, which saves a third of the time that a parallel kernel takes to compile.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

# How Numba 0.68 begins the names of the libraries that hold the wrappers. Under other names they would be
# compiled as before.
WRAPPERS = ("<numba.np.ufunc.wrappers", "parallelgufuncwrapper")


class _LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """A library that has no machine code of its own if it is a wrapper: it is there to be linked."""

    def _optimize_final_module(self) -> None:
        if not self.name.startswith(WRAPPERS):
            super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        if not self.name.startswith(WRAPPERS):
            super()._finalize_final_module()
            return
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._final_module.__library = weakref.proxy(self)
        self._finalized = True


@contextlib.contextmanager
def wrappers_only_linked() -> Iterator[None]:
    """Compile so as long as a `with` lasts; nobody else compiles meanwhile."""
    with global_compiler_lock:
        codegen = cpu_target.target_context.codegen()
        before = codegen._library_class
        codegen._library_class = _LinkedLibrary
        try:
            yield
        finally:
            codegen._library_class = before
