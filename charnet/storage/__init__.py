"""What is on disk? Tensors in one file, checkpoints, 8-bit weights, the folder of a run."""
