"""How well a text is known: by a model, by simple baselines, and what more training would bring."""
