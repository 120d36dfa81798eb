"""How do texts and suggestions come over HTTP, to many clients at once?"""
