"""Texts that are no text to those who store them: halves of characters, and zeros."""

from metaflow import FlowSpec, catch, step


class OddTexts(FlowSpec):
    @step
    def start(self):
        self.half = "\ud800 and \udfff"
        self.among = {"key \ud800": ["\udc80"], "zero": "a\0b"}
        self.next(self.written)

    @step
    def written(self):
        print("zero \0 inside")
        self.next(self.raised)

    @catch(var="problem", print_exception=False)
    @step
    def raised(self):
        if self.half:
            raise ValueError("half \ud800 of one")
        self.next(self.end)

    @step
    def end(self):
        print(self.half.encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    OddTexts()
