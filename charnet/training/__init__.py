"""How weights are found in the time given: planning, steps, events, saving, resuming."""
