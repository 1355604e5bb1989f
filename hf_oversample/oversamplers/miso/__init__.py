"""MISO: anchors for difficult texts, behind a quality gate."""
