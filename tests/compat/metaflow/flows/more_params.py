import json

from metaflow import FlowSpec, JSONType, Parameter, step


def number(context):
    return 40 + len(context.parameter_name)


def listed(context):
    return json.dumps({"user": context.user_name, "flow": context.flow_name, "kind": context.ds_type})


class MoreParams(FlowSpec):
    """Defaults by function, lists, JSON of every kind, names with dashes."""

    by_function = Parameter("by-function", default=number, type=int)
    json_function = Parameter("json-function", default=listed, type=JSONType)
    json_list = Parameter("json-list", type=JSONType, default="[1, 2]")
    json_object = Parameter("json-object", type=JSONType, default='{"k": [null, true]}')
    empty = Parameter("empty", default="")
    zero = Parameter("zero", default=0)
    off = Parameter("off", default=False)
    optional = Parameter("optional", type=int, required=False)
    real = Parameter("real", type=float, default=3)
    words = Parameter("words", default="", separator="|")
    text_number = Parameter("text-number", type=str, default="007")
    hidden = Parameter("hidden", default="h", show_default=False, help="Not shown.")

    @step
    def start(self):
        print(self.by_function, self.json_function, self.json_list, self.json_object, repr(self.empty))
        print(self.zero, self.off, self.optional, repr(self.real), self.words, self.text_number, self.hidden)
        self.json_object["more"] = 1
        self.next(self.a, self.b)

    @step
    def a(self):
        self.json_list.append(3)
        self.next(self.join)

    @step
    def b(self):
        print(self.json_object, self.json_list)
        self.next(self.join)

    @step
    def join(self, inputs):
        print(self.json_list, self.by_function, self.words)
        self.next(self.end)

    @step
    def end(self):
        print(self.json_object)


if __name__ == "__main__":
    MoreParams()
