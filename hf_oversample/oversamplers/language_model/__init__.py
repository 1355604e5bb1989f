"""Texts that a pretrained language model writes, behind the quality gate of anchors."""
