"""GitHub: `client` asks and tells it, `patience` says how long, `deliveries` is what it tells us."""
