"""Why does it write that, and how does it look on a page?"""
