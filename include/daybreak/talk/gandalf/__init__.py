"""Gandalf: lets people land pull requests, and says how that goes.

`bot` answers commands, `verbs` does them, `gates` says what may land, `reports` has the words, `desk` takes
GitHub's events out of the inbox.
"""
