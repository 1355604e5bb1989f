"""Anchors, whoever writes them: where they start from, the gate that they pass, what is told."""
