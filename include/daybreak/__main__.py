"""``python -m daybreak …``: the command line where the package is on the path but not installed."""

from daybreak.cli.main import main

raise SystemExit(main())
