import warnings

from metaflow import Config, FlowSpec, step, user_step_decorator
from metaflow.plugins.parsers import yaml_parser


@user_step_decorator
def spoken(step_name, flow, inputs=None, attributes=None):
    print("in", step_name)
    yield


class Team(FlowSpec):
    rates = Config("rates", default_value="{}")

    @spoken
    @step
    def start(self):
        warnings.warn("nobody is to see this", stacklevel=1)
        warnings.warn("nor this", FutureWarning, stacklevel=1)
        print(str(self), callable(yaml_parser))
        self.words = ["short", "a word of more than twenty letters", None]
        self.next(self.each, foreach="words")

    @step
    def each(self):
        print(str(self))
        self.deep = [self.index, (1, 2)]
        self.next(self.deeper, foreach="deep")

    @step
    def deeper(self):
        print(f"{self}")
        self.next(self.gather)

    @step
    def gather(self, inputs):
        print(self, *sorted(str(one) for one in inputs))
        self.next(self.join)

    @step
    def join(self, inputs):
        print(self)
        self.next(self.end)

    @spoken
    @step
    def end(self):
        print(self)


if __name__ == "__main__":
    Team()
