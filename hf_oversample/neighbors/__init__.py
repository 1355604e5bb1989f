"""Exact nearest neighbours, and the rows that they make difficult."""
