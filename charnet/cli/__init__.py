"""On the command line: one thin file a command, and what they share. `app` is the command itself."""
