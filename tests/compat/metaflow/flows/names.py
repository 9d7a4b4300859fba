from metaflow import FlowSpec, step


class Names(FlowSpec):
    """Names that are kept, and names that are not."""

    @step
    def start(self):
        self._private = [1]
        self.__mangled = 2
        setattr(self, "__dunder", 3)
        setattr(self, "dynamic_1", 4)
        self.Upper = 5
        self.method = lambda: 1
        del self.method
        self.ünï = 6
        self.next(self.middle)

    @step
    def middle(self):
        print(self._private, self.__mangled, hasattr(self, "__dunder"), self.dynamic_1, self.Upper)
        self._private.append(2)
        print(sorted(name for name in vars(self) if not name.startswith("_") and name != "name"))
        self.next(self.end)

    @step
    def end(self):
        print(self._private, hasattr(self, "method"))


if __name__ == "__main__":
    Names()
