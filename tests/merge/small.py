"""A monorepo of two things that are deployed by writing down what they say, with suites: it costs seconds."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from tests.monorepo import HEADER

#: Two things that are deployed by writing down what they say, and a suite for each and for both.
RESOURCES = f"""{HEADER}
COMMANDS = {{"deploy": ["python", "deploy.py"], "observe": ["python", "observe.py"],
            "destroy": ["python", "destroy.py"]}}
LEFT = Resource(name="left", type=rt.COMMAND, dependent_paths=["left"], options=COMMANDS)
RIGHT = Resource(name="right", type=rt.COMMAND, dependent_paths=["right"], options=COMMANDS)
"""
#: With a stack of its own.
QUEUE = f"""{RESOURCES}
INFRA = Resource(name="infra", type=rt.INFRA, dependent_paths=["infra"],
                 options={{"template": "template.yaml", "stack": "ephemeral"}})
"""
TEMPLATE = """Parameters:
  Environment: {Type: String}
  Nonce: {Type: String}
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties: {QueueName: !Sub "${Environment}-jobs"}
"""
DEPLOY = """import json, os, pathlib
value = pathlib.Path("value.txt").read_text().strip()
assert value != "undeployable", "it does not start"
pathlib.Path(STATE, NAME).write_text(json.dumps({"key": os.environ["DAYBREAK_KEY"], "value": value}))
"""
OBSERVE = """import json, pathlib
print(json.loads(pathlib.Path(STATE, NAME).read_text())["key"])
"""
DESTROY = """import pathlib
pathlib.Path(STATE, NAME).unlink()
"""
HELPER = """import json, pathlib
def value(name):
    return json.loads(pathlib.Path(STATE, name).read_text())["value"]
"""
TEST = """import json, pathlib
def value(name):
    return json.loads(pathlib.Path(STATE, name).read_text())["value"]
def test_NAME_is_good():
    pathlib.Path(STATE, "ran-NAME").touch()
    once = pathlib.Path(STATE, "once-NAME")
    if value("NAME") == "flaky" and not once.exists():
        once.touch()
        raise AssertionError("only the first time")
    assert value("NAME") != "bad", "NAME says bad"
"""
TOGETHER = """import json, pathlib
def test_both_are_not_new_at_once():
    pathlib.Path(STATE, "ran-together").touch()
    said = {json.loads(pathlib.Path(STATE, name).read_text())["value"] for name in ("left", "right")}
    assert said != {"new"}, "they do not work together"
"""


def monorepo(state: Path) -> dict[str, str]:
    """Its files; what is deployed is written into the folder ``state``."""
    found = {
        "resources.py": RESOURCES,
        "daybreak.toml": '[monorepo]\nignore = ["docs/"]\n',
        "docs/page.md": "A page.\n",
        "e2e/requirements.txt": files("daybreak.build").joinpath("pytest-lock.txt").read_text(),
        "e2e/test_together.py": TOGETHER.replace("STATE", repr(str(state))),
        "e2e/right/pyproject.toml": '[tool.daybreak.e2e]\ncovers = ["right"]\n',
    }
    for name in ("left", "right"):
        found[f"{name}/value.txt"] = "old\n"
        for script, text in (("deploy", DEPLOY), ("observe", OBSERVE), ("destroy", DESTROY)):
            found[f"{name}/{script}.py"] = text.replace("STATE", repr(str(state))).replace("NAME", repr(name))
        test = TEST.replace("STATE", repr(str(state))).replace("NAME", name)
        mark = 'import pytest\npytestmark = pytest.mark.covers("left")\n' if name == "left" else ""
        found[f"e2e/{name}/test_{name}.py"] = mark + test
    return found
