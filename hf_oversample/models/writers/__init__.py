"""Pretrained language models that write texts of a class."""
