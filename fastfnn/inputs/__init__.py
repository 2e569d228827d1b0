"""Inputs: samples and targets, checked, measured, and divided into row blocks."""
