import json

from metaflow import FlowSpec, IncludeFile, step


def lines(text):
    return text.splitlines()


class Include(FlowSpec):
    """Files as parameters: text, bytes, parsed, encoded, absent."""

    text = IncludeFile("text", default="given.txt", help="a text")
    raw = IncludeFile("raw", default="given.txt", is_text=False)
    latin = IncludeFile("latin", default="latin.txt", encoding="utf-8")
    parsed = IncludeFile("parsed", default="data.json", parser=json.loads)
    split = IncludeFile("split", default="given.txt", parser=lines)
    absent = IncludeFile("absent", required=False)

    @step
    def start(self):
        print(repr(self.text), self.raw, repr(self.latin), self.parsed, self.split, self.absent)
        self.got = [self.text, self.raw, self.parsed]
        self.next(self.end)

    @step
    def end(self):
        print(self.text.upper(), len(self.raw), self.parsed["a"])


if __name__ == "__main__":
    Include()
