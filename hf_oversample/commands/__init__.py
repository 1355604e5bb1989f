"""Whole runs, from a data set to what a person reads: what the recipes call."""
