"""How does a model leave charnet for other programs, and how does one of theirs come in?"""
