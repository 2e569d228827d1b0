"""Micro-kernels in LLVM's vector instructions, the shapes of their tiles, and elementary functions; see README.md."""
