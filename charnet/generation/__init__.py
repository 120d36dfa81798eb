"""How a text is written: prompt in, characters out, one text or many, to where it stops."""
