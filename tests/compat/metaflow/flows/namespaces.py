"""Where the Client API looks in tasks: what one task chooses is not the next one's choice."""

from metaflow import FlowSpec, current, get_namespace, namespace, step


class Namespaces(FlowSpec):
    @step
    def start(self):
        print(current.namespace, get_namespace())
        namespace("user:zed")
        self.first = get_namespace()
        self.next(self.end)

    @step
    def end(self):
        print(self.first, get_namespace(), current.namespace)


if __name__ == "__main__":
    Namespaces()
