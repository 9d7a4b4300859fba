"""The tool ``metaflow``."""

from headrace.frontends.metaflow.commands.tool import start

if __name__ == "__main__":
    start()
