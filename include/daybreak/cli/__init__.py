"""The ``daybreak`` command."""
