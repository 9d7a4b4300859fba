"""``python -m metaflow``."""

from headrace.frontends.metaflow.commands.tool import start

start()
