"""`python -m agent`."""

from agent.cli.main import run

run()
