from metaflow import FlowSpec, Parameter, step


class Base(FlowSpec):
    from_base = "base"
    replaced = 1


class Constants(Base):
    """Class attributes are artifacts that cannot be set."""

    number = 1
    text = "t"
    nothing = None
    listed = [1, 2]
    mapping = {"a": [1]}
    _private = "p"
    replaced = 2
    alpha = Parameter("alpha", default=5)

    @property
    def double(self):
        return self.number * 2

    @staticmethod
    def helper(x):
        return x + 1

    @classmethod
    def kind(cls):
        return cls.__name__

    @step
    def start(self):
        self.listed.append(3)
        self.mapping["b"] = 1
        print(self.listed, self.mapping, self.double, self.helper(1), self.kind(), self._private)
        for name in ("number", "alpha", "nothing", "from_base", "replaced"):
            try:
                setattr(self, name, "other")
                print(name, "was set")
            except AttributeError as error:
                print(name, type(error).__name__)
        try:
            del self.number
            print("was deleted")
        except Exception as error:
            print(type(error).__name__)
        self.next(self.a, self.b)

    @step
    def a(self):
        self.got = self.number, self.from_base
        self.next(self.join)

    @step
    def b(self):
        print(self.listed, self.mapping)
        self.next(self.join)

    @step
    def join(self, inputs):
        print(self.number, self.alpha, self.listed, self.nothing, self.replaced, self.text)
        self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self):
        print(self.double, self.mapping, self.got)


if __name__ == "__main__":
    Constants()
