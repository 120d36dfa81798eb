"""How is a text generated? A prompt comes in, characters go out, of one text or many, until a text ends."""
