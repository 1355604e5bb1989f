"""Numbers: noise that is a function of its address, precision, threads of workers."""
