"""What changed: content keys, affected resources, plans."""
