"""The published trainings, one file each."""
