import os

from metaflow import FlowSpec, Parameter, step

BAD = os.environ["BAD"]


class MergingWrongly(FlowSpec):
    """merge_artifacts with arguments that it cannot take."""

    given = Parameter("given", default=1)
    fixed = [1]

    @step
    def start(self):
        self.base = "base"
        self.hidden = None
        self.items = [1, 2]
        self.next(self.a, self.b)

    @step
    def a(self):
        self.value = 1
        self.same = [1, 2]
        self._private = 1
        if BAD == "no-join":
            self.merge_artifacts([self])
        self.next(self.join)

    @step
    def b(self):
        self.value = 2
        self.same = [1, 2]
        self._private = 2
        self.next(self.join)

    @step
    def join(self, inputs):
        {
            "none": lambda: self.merge_artifacts(None),
            "nothing": lambda: self.merge_artifacts(),
            "empty": lambda: self.merge_artifacts([]),
            "numbers": lambda: self.merge_artifacts([1, 2]),
            "self": lambda: self.merge_artifacts([self], exclude=["value"]),
            "text-exclude": lambda: self.merge_artifacts(inputs, exclude="value"),
            "text-include": lambda: self.merge_artifacts(inputs, include="same"),
            "number-include": lambda: self.merge_artifacts(inputs, include=[5]),
            "number": lambda: self.merge_artifacts(inputs, include=5),
            "tuple": lambda: self.merge_artifacts(inputs, exclude=("value", "_private")),
            "set": lambda: self.merge_artifacts(inputs, include={"same"}),
            "unknown": lambda: self.merge_artifacts(inputs, nonsense=1),
            "both-empty": lambda: self.merge_artifacts(inputs, include=[], exclude=["value", "_private"]),
            "include-parameter": lambda: self.merge_artifacts(inputs, include=["given", "fixed"]),
            "include-private": lambda: self.merge_artifacts(inputs, include=["_private"]),
            "include-internal": lambda: self.merge_artifacts(inputs, include=["_task_ok"]),
            "private": lambda: self.merge_artifacts(inputs, exclude=["value"]),
            "reversed": lambda: self.merge_artifacts(reversed(list(inputs)), exclude=["value", "_private"]),
            "generator": lambda: self.merge_artifacts((one for one in inputs), exclude=["value", "_private"]),
            "caught": lambda: self.caught(inputs)(),
            "after": lambda: [
                self.merge_artifacts(inputs, include=["same"]),
                setattr(self, "same", "changed"),
                self.merge_artifacts(inputs, include=["same", "base"]),
            ],
            "no-join": lambda: None,
            "unknown-input": lambda: inputs.nowhere,
            "far-input": lambda: inputs[7],
            "text-input": lambda: inputs["a"],
            "absent-input": lambda: inputs.a.absent,
            "set-input": lambda: setattr(inputs.a, "value", 5),
            "keep-input": lambda: setattr(self, "kept", inputs.a),
            "keep-inputs": lambda: setattr(self, "kept", inputs),
            "no-merge": lambda: self.base,
        }[BAD]()
        self.next(self.end)

    def caught(self, inputs):
        def try_it():
            try:
                self.merge_artifacts(inputs)
            except Exception as error:
                print(type(error).__name__, sorted(set(error.artifact_names)), hasattr(self, "same"))
            try:
                self.merge_artifacts(inputs, include=["nowhere", "same"])
            except Exception as error:
                print(type(error).__name__, sorted(set(error.artifact_names)), hasattr(self, "same"))

        return try_it

    @step
    def end(self):
        for name in ("base", "value", "same", "_private", "hidden"):
            print(name, getattr(self, name, "absent"))


if __name__ == "__main__":
    MergingWrongly()
