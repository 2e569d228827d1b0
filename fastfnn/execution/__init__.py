"""Execution: one plan decides how a network is computed, and a file for each choice carries it out."""
