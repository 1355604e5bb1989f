"""Fuzzing: bytes become bad input of every kind, and each is answered rightly or refused by name.

A target is a function of bytes (`targets.py`); `engine.py` makes the bytes, guided by the lines of
the package that they reach. ``python scripts/fuzz.py --help``.
"""
