"""``daybreak completion``: what a shell needs to complete Daybreak's words."""

from __future__ import annotations

import argparse

EXAMPLES = {
    "completion": 'examples:\n  eval "$(daybreak completion bash)"   (in ~/.bashrc)\n'
    '  eval "$(daybreak completion zsh)"    (in ~/.zshrc, after compinit)'
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    parser.add_argument("shell", choices=("bash", "zsh"))
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Print the code."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["daybreak"], shell=words.shell))
    return 0
