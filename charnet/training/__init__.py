"""How are weights found, in the time given? By planning, steps, events, saving and resuming."""
