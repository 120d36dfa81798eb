"""What comes next, as fast as possible: ways to compute the same logits, and how one symbol is sampled from them."""
