"""The command line as a module: `python -m fastfnn`."""

from fastfnn.cli import main

main()
