"""``uv run --no-project python build.py``: the rules, and beside them what publishing them needs."""

import json
import os
import subprocess
from pathlib import Path

from cells import compile_zones

rules = compile_zones(json.loads(Path("zones.json").read_text()))
Path("rules.json").write_text(json.dumps(rules, separators=(",", ":")))
# On the machine that publishes there is a plain Python and nothing else.
subprocess.run(
    [os.environ["UV"], "pip", "install", "--quiet", "--target", "vendor", "--require-hashes",
     "--requirement", "requirements.txt"],
    check=True,
)  # fmt: skip
print(f"{len(rules['cells'])} cells")
