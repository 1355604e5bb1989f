"""Measures of classifiers, of generated texts, and of differences between runs: plain functions."""
