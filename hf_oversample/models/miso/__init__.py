"""The MISO generator: configuration, model and losses."""
