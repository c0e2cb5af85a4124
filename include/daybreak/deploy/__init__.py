"""How artifacts get into an environment: one driver for each type or runtime."""
