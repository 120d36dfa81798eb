"""What is on disk: tensors in one file, checkpoints, 8-bit weights, the folder of a run."""
