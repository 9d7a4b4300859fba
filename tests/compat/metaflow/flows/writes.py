import os
import subprocess
import sys

from metaflow import FlowSpec, step


class Writes(FlowSpec):
    """Everything that can be written to the streams."""

    @step
    def start(self):
        print("plain")
        print("two\nlines")
        print()
        print("  indented")
        print("ünï 🎉")
        print("tab\there")
        sys.stdout.write("partial ")
        sys.stdout.write("line\n")
        sys.stdout.flush()
        os.write(1, b"from os.write\n")
        subprocess.run(["echo", "from a process"], check=True)
        subprocess.run("echo err: from a process >&2", shell=True, check=True)
        print("x" * 5000)
        print("err: plain", file=sys.stderr)
        sys.stderr.write("err: no newline at the end")
        self.next(self.end)

    @step
    def end(self):
        sys.stdout.write("no newline at the end")


if __name__ == "__main__":
    Writes()
