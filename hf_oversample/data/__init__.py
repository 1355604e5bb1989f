"""Data sets as they come: files read, columns checked, labelled texts."""
