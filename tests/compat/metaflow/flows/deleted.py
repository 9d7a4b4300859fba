from metaflow import FlowSpec, step


class Deleted(FlowSpec):
    """What deleting an attribute does, in this step and after it."""

    @step
    def start(self):
        self.a = 1
        self.b = [1]
        self.c = 3
        self.new = 1
        del self.new
        print(hasattr(self, "new"))
        self.next(self.middle)

    @step
    def middle(self):
        print(self.a, self.b)
        del self.a
        print(hasattr(self, "a"))
        self.b.append(2)
        del self.b
        try:
            del self.never
        except AttributeError:
            print("AttributeError")
        self.c = None
        self.next(self.end)

    @step
    def end(self):
        print(self.a, self.b, self.c, hasattr(self, "new"))


if __name__ == "__main__":
    Deleted()
