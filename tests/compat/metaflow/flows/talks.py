"""Prints more than is kept."""

import sys

from metaflow import FlowSpec, step


class Talks(FlowSpec):
    @step
    def start(self):
        for number in range(30000):
            print(f"{number:06}" + "x" * 60)
        print("err: little", file=sys.stderr)
        self.next(self.end)

    @step
    def end(self):
        print("end")


if __name__ == "__main__":
    Talks()
