"""How well a model predicts a text, how well simple baselines do, and what more training would give."""
