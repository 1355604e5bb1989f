"""How near is as near as, in searches that rank by float32 distances."""

TIE_SLACK = 1.0 + 2.0**-21
"""Distances are compared as float32, which merges values that differ by less than 2⁻²³, so squares
by less than 2⁻²²."""
UNDERFLOW_SLACK = 1e-36
