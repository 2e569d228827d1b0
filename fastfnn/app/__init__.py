"""The program `fastfnn`: its commands, its output on the terminal, and the files of a run."""
