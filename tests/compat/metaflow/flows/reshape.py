"""Edits ``reshaped.py``: ``python reshape.py KIND...``; the file ``fixed`` is there afterwards."""

import pathlib
import sys

CHANGES = {
    "renamed": [("self.next(self.first)", "self.next(self.other)"), ("def first(", "def other(")],
    "renamed-late": [("self.next(self.last)", "self.next(self.later)"), ("def last(", "def later(")],
    "added": [
        ("self.next(self.last)", "self.next(self.added)"),
        (
            "    @step\n    def last(",
            "    @step\n    def added(self):\n        self.trace = self.trace + ['added']\n        self.next(self.last)\n\n"
            "    @step\n    def last(",
        ),
    ],
    "added-early": [
        ("self.next(self.first)", "self.next(self.added)"),
        (
            "    @step\n    def first(",
            "    @step\n    def added(self):\n        self.trace = self.trace + ['added']\n        self.next(self.first)\n\n"
            "    @step\n    def first(",
        ),
    ],
    "removed": [("self.next(self.last)", "self.next(self.end)"), ("    @step\n    def last(", "    def last(")],
    "parameter": [
        (
            '    base = Parameter("base", default=2)\n',
            '    base = Parameter("base", default=2)\n    more = Parameter("more", default=7)\n',
        )
    ],
    "longer": [("[self.base, self.base + 1, self.base + 2]", "[self.base, self.base + 1, self.base + 2, 9]")],
}

path = pathlib.Path("reshaped.py")
text = path.read_text()
for kind in sys.argv[1:]:
    for old, new in CHANGES[kind]:
        assert old in text, old
        text = text.replace(old, new)
path.write_text(text)
pathlib.Path("fixed").touch()
