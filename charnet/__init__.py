"""charnet: character-level text generation with recurrent networks."""

__version__ = "0.1.0"
