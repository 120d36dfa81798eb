"""How well is a text known? By a model, by simple baselines, and after more training."""
