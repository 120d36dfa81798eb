"""How does a text become windows of ids? It is read, decoded, normalized, encoded, cached and cut into streams."""
