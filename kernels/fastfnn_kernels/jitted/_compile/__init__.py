"""Compiling with Numba: options, argument types, a kernel's variants for one thread and for many, and linking."""
