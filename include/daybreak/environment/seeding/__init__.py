"""Fresh data for an environment."""
