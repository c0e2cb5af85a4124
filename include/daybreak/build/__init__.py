"""What was built: artifacts under their content keys, unit tests, virtual environments."""
