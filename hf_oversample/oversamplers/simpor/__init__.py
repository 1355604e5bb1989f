"""SIMPOR: neighbours of maximum posterior ratio."""
