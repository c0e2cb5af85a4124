"""A Slack on 127.0.0.1: Web API, signed events, commands, buttons, Socket Mode, and a page."""
