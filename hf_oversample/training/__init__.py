"""Training on Accelerate: loops, arguments, losses."""
