"""What comes next, as fast as possible? Ways to compute the same logits, and to sample one symbol from them."""
