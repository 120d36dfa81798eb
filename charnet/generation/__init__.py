"""How is a text written? A prompt comes in, characters go out, for one text or many, until they stop."""
