"""Bobby lends environments: what can be said to him, and what he answers."""
