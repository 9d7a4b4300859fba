from metaflow import FlowSpec, step


class Linear(FlowSpec):
    """Artifacts are passed on, changed in place, replaced and deleted."""

    shared = {"k": [1]}
    number = 7

    @step
    def start(self):
        self.text = "hello"
        self.numbers = [1, 2, 3]
        self.untouched = {"a": (1, 2.5, None, True)}
        self._private = "not shown"
        self.gone = 1
        self.shared["k"].append(2)
        print("start", self.shared, self.number)
        self.next(self.middle)

    @step
    def middle(self):
        self.numbers.append(4)
        print(self.gone)
        del self.gone
        self.text += " world"
        print(self.text, self._private, self.shared)
        self.next(self.end)

    @step
    def end(self):
        print(self.numbers, self.gone, self.untouched)
        try:
            self.number = 8
        except AttributeError as error:
            print(error)
        try:
            print(self.nothing)
        except AttributeError as error:
            print(error)
        print(hasattr(self, "nothing"), self.name, self.index, self.input)


if __name__ == "__main__":
    Linear()
