import threading

from metaflow import FlowSpec, Parameter, catch, step


class Unpicklable(FlowSpec):
    """An artifact that cannot be kept."""

    how = Parameter("how", default="lambda")

    @step
    def start(self):
        self.good = 1
        how = self.how
        if how == "lambda":
            self.bad = lambda: 1
        elif how == "generator":
            self.bad = (n for n in range(3))
        elif how == "nested":
            self.bad = {"a": [threading.Lock()]}
        elif how == "local":

            class Local:
                pass

            self.bad = Local()
        elif how == "module":
            self.bad = threading
        elif how == "raises":
            self.bad = Raising()
        self.next(self.end)

    @step
    def end(self):
        print("ended", self.good)


class Raising:
    def __reduce__(self):
        raise ZeroDivisionError("in pickling")


if __name__ == "__main__":
    Unpicklable()
