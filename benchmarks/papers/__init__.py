"""The papers' tables, run again: what `recipes/reproduce.py` calls."""
