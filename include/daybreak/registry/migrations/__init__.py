"""Alembic's environment and the registry's migrations."""
