"""What is computed for each character? Cells, a network of them, ensembles and the loss."""
