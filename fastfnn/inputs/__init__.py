"""Inputs: samples and targets, checked, measured, and handed out in blocks of rows."""
