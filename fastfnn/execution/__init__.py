"""Execution: one plan decides how a network is computed, and a separate file implements each choice."""
