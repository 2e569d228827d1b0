"""The parts that several kernels share: panels, tiles and blocks of products, layers, loops, and threads' tasks."""
