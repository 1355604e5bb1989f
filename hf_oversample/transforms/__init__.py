"""Transforms between columns: text to embedding."""
