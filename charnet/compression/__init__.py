"""How is a text stored in fewer bytes? A model predicts each character, and the file holds what was not predicted."""
