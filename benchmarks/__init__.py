"""What is measured. A package of its own: pyarrow ships one of this name, too."""
