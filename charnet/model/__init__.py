"""The model: cells, the network of them, ensembles and the loss."""
