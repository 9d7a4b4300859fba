"""Flows whose graph is wrong, one for each rule; the environment variable BAD says which one is meant.

``switch_to_end`` and ``one_arm_longer`` are near to wrong.
"""

import os

from metaflow import FlowSpec, catch, parallel, retry, step

BAD = os.environ["BAD"]


if BAD == "no_start":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def begin(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "no_end":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.finish)

        @step
        def finish(self):
            pass


if BAD == "no_next":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.x = 1

        @step
        def end(self):
            pass


if BAD == "unknown_target":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.nowhere)

        @step
        def end(self):
            pass


if BAD == "cycle":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a)

        @step
        def a(self):
            self.next(self.b)

        @step
        def b(self):
            self.next(self.a)

        @step
        def end(self):
            pass


if BAD == "orphan":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end)

        @step
        def lonely(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "join_without_inputs":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.join)

        @step
        def b(self):
            self.next(self.join)

        @step
        def join(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "linear_with_inputs":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.middle)

        @step
        def middle(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "no_join":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.end)

        @step
        def b(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "foreach_not_joined":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.items = [1]
            self.next(self.a, foreach="items")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "foreach_into_join":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.items = [1]
            self.next(self.join, foreach="items")

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "crossing":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.a1, self.a2)

        @step
        def a1(self):
            self.next(self.join)

        @step
        def a2(self):
            self.next(self.rest)

        @step
        def b(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.rest)

        @step
        def rest(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "bad_name":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.Upper)

        @step
        def Upper(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "underscore_name":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self._hidden)

        @step
        def _hidden(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "reserved_name":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.cmd)

        @step
        def cmd(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "end_with_next":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            self.next(self.start)


if BAD == "end_is_join":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.end)

        @step
        def b(self):
            self.next(self.end)

        @step
        def end(self, inputs):
            pass


if BAD == "next_in_if":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            if self.name:
                self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "next_not_last":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end)
            print("after")

        @step
        def end(self):
            pass


if BAD == "switch_one_case":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.x = "a"
            self.next({"a": self.a}, condition="x")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_no_condition":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.x = "a"
            self.next({"a": self.a, "b": self.end})

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_unknown_target":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.x = "a"
            self.next({"a": self.nowhere, "b": self.end}, condition="x")

        @step
        def end(self):
            pass


if BAD == "switch_to_join":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.x = "a"
            self.next({"a": self.a, "b": self.b}, condition="x")

        @step
        def a(self):
            self.next(self.join)

        @step
        def b(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_to_end":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.x = "b"
            self.next({"a": self.a, "b": self.end}, condition="x")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            print("ended", self.x)


if BAD == "catch_on_foreach":

    class BadGraphs(FlowSpec):
        """See the module."""

        @catch(var="x")
        @step
        def start(self):
            self.items = [1]
            self.next(self.a, foreach="items")

        @step
        def a(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "catch_on_switch":

    class BadGraphs(FlowSpec):
        """See the module."""

        @catch(var="problem")
        @step
        def start(self):
            self.x = "a"
            self.next({"a": self.a, "b": self.end}, condition="x")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_missing":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.gang, num_parallel=2)

        @step
        def gang(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_alone":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.gang)

        @parallel
        @step
        def gang(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "join_is_split":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.join)

        @step
        def b(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.c, self.d)

        @step
        def c(self):
            self.next(self.join2)

        @step
        def d(self):
            self.next(self.join2)

        @step
        def join2(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "split_twice_the_same":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.a)

        @step
        def a(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "foreach_two_targets":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.items = [1]
            self.next(self.a, self.b, foreach="items")

        @step
        def a(self):
            self.next(self.join)

        @step
        def b(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "foreach_not_text":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.items = [1]
            self.next(self.a, foreach=self.items)

        @step
        def a(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "unknown_keyword":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end, nonsense=1)

        @step
        def end(self):
            pass


if BAD == "no_steps":

    class BadGraphs(FlowSpec):
        """See the module."""

        x = 1


if BAD == "two_starts":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step(start=True)
        def one(self):
            self.next(self.end)

        @step(start=True)
        def two(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "other_than_written":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.dynamic()
            self.next(self.a)

        def dynamic(self):
            self.next(self.b)

        @step
        def a(self):
            self.next(self.b)

        @step
        def b(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "step_twice":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "decorator_inside":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        @retry
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "one_arm_longer":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.join)

        @step
        def a(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.names = len(list(inputs))
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "nested_join_wrong":

    class BadGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.items = [1]
            self.next(self.a, foreach="items")

        @step
        def a(self):
            self.next(self.b, self.c)

        @step
        def b(self):
            self.next(self.join)

        @step
        def c(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if __name__ == "__main__":
    BadGraphs()
