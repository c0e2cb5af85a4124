"""What is put around ministack; runs inside ``.venv-aws`` only."""
