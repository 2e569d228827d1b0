"""The command line as a module: `python -m fastfnn`."""

from fastfnn.app.cli import main

main()
