"""Daybreak: clean development environments every morning, and a main branch that never breaks."""
