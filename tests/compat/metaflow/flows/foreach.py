from metaflow import FlowSpec, step


class Foreach(FlowSpec):
    """Nested foreach over several kinds of iterables."""

    @step
    def start(self):
        self.letters = ["a", "b", "c"]
        self.kept = "kept"
        self.next(self.outer, foreach="letters")

    @step
    def outer(self):
        self.letter = self.input
        self.numbers = range(self.index + 1)
        print("outer", self.index, self.input, self.foreach_stack())
        self.next(self.inner, foreach="numbers")

    @step
    def inner(self):
        self.product = self.letter * self.input
        print("inner", self.index, self.input, self.foreach_stack())
        self.next(self.after)

    @step
    def after(self):
        self.after_input = self.input
        self.next(self.join_inner)

    @step
    def join_inner(self, inputs):
        self.products = [one.product for one in inputs]
        self.letter = inputs[0].letter
        print("join_inner", self.index, self.products, [one.index for one in inputs], [one.input for one in inputs])
        print(self.input)
        self.next(self.join_outer)

    @step
    def join_outer(self, inputs):
        self.all = {one.letter: one.products for one in inputs}
        print("join_outer", self.index, self.input, self.foreach_stack())
        self.merge_artifacts(inputs, include=["kept"]) if hasattr(inputs[0], "kept") else print("nothing is inherited")
        self.next(self.end)

    @step
    def end(self):
        print(self.all)


if __name__ == "__main__":
    Foreach()
