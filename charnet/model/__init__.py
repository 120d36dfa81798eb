"""What is computed for each character: cells, the network of them, ensembles and the loss."""
