from metaflow import FlowSpec, Parameter, step


class Switches(FlowSpec):
    """A switch, a loop, and a switch on a number inside a foreach."""

    way = Parameter("way", default="left")

    @step
    def start(self):
        self.choice = self.way
        self.count = 0
        self.next({"left": self.left, "right": self.right}, condition="choice")

    @step
    def left(self):
        self.went = "left"
        self.next(self.loop)

    @step
    def right(self):
        self.went = "right"
        self.next(self.loop)

    @step
    def loop(self):
        self.count += 1
        self.again = "yes" if self.count < 4 else "no"
        print(self.count, self.went)
        self.next({"yes": self.loop, "no": self.fan}, condition="again")

    @step
    def fan(self):
        self.items = [0, 1, 2]
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.odd = self.input % 2
        self.next({0: self.even_step, 1: self.odd_step}, condition="odd")

    @step
    def even_step(self):
        self.label = "even"
        self.next(self.meet)

    @step
    def odd_step(self):
        self.label = "odd"
        self.next(self.meet)

    @step
    def meet(self):
        print(self.input, self.label)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.labels = [one.label for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(self.labels)


if __name__ == "__main__":
    Switches()
