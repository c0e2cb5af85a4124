"""Who has which environment, who waits for it, and what they are told."""
