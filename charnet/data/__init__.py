"""How a text becomes windows of ids: found, read, decoded, normalized, encoded, kept, cut into streams."""
