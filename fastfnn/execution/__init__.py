"""Execution: one plan decides how a network is computed, and one file carries out each of its choices."""
