"""More flows whose graph is wrong or nearly so; BAD says which one is meant."""

import os

from metaflow import FlowSpec, catch, parallel, step

BAD = os.environ["BAD"]


if BAD == "three_arguments":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self, inputs, more):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "no_arguments":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start():
            pass

        @step
        def end(self):
            pass


if BAD == "default_argument":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self, inputs=None):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "keyword_argument":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self, *, more=1):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "star_arguments":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self, *args):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "other_self":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(this):
            this.next(this.end)

        @step
        def end(self):
            pass


if BAD == "into_start":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a)

        @step
        def a(self):
            self.next({"x": self.start, "y": self.end}, condition="k")

        @step
        def end(self):
            pass


if BAD == "two_ends":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a)

        @step(end=True)
        def a(self):
            pass

        @step(end=True)
        def b(self):
            pass


if BAD == "start_beside_marked":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end)

        @step(start=True)
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "end_beside_marked":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

        @step(end=True)
        def a(self):
            pass


if BAD == "marked_only_start":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step(start=True)
        def a(self):
            self.next(self.b)

        @step
        def b(self):
            pass


if BAD == "single_with_next":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step(start=True, end=True)
        def a(self):
            self.next(self.a)


if BAD == "single_and_more":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step(start=True, end=True)
        def a(self):
            pass

        @step
        def b(self):
            pass


if BAD == "marked_with_false":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step(start=False)
        def start(self):
            self.next(self.end)

        @step(end=False)
        def end(self):
            pass


if BAD == "step_called_wrongly":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step(begin=True)
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_then_linear":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, num_parallel=2)

        @parallel
        @step
        def a(self):
            self.next(self.b)

        @step
        def b(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_then_end":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, num_parallel=2)

        @parallel
        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_into_join":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.j, num_parallel=2)

        @parallel
        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_is_end":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end, num_parallel=2)

        @parallel
        @step
        def end(self):
            pass


if BAD == "parallel_foreach":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, foreach="items")

        @parallel
        @step
        def a(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_branch":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b, num_parallel=2)

        @parallel
        @step
        def a(self):
            self.next(self.j)

        @parallel
        @step
        def b(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_and_foreach":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, num_parallel=2, foreach="items")

        @parallel
        @step
        def a(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "end_in_foreach":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end, foreach="items")

        @step
        def end(self):
            pass


if BAD == "foreach_two_deep_one_join":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, foreach="items")

        @step
        def a(self):
            self.next(self.b, foreach="items")

        @step
        def b(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "join_too_many":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.j)

        @step
        def b(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.k)

        @step
        def k(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "join_one_of_two":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.j)

        @step
        def b(self):
            self.next(self.end)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "two_joins":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.j)

        @step
        def b(self):
            self.next(self.k)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def k(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "branch_to_itself":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.a)

        @step
        def b(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "self_loop":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a)

        @step
        def a(self):
            self.next(self.a)

        @step
        def end(self):
            pass


if BAD == "long_cycle":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a)

        @step
        def a(self):
            self.next(self.b)

        @step
        def b(self):
            self.next(self.c)

        @step
        def c(self):
            self.next(self.a)

        @step
        def end(self):
            pass


if BAD == "switch_back":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a)

        @step
        def a(self):
            self.next(self.b)

        @step
        def b(self):
            self.next({"x": self.a, "y": self.end}, condition="k")

        @step
        def end(self):
            pass


if BAD == "switch_variable_key":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next({self.k: self.end, "y": self.a}, condition="k")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_name_key":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next({BAD: self.end, "y": self.a}, condition="k")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_computed_key":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next({"x" + "y": self.end, "y": self.a}, condition="k")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_same_twice":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.k = "x"
            self.next({"x": self.a, "y": self.a}, condition="k")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_key_twice":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.k = "x"
            self.next({"x": self.a, "x": self.b}, condition="k")

        @step
        def a(self):
            self.next(self.end)

        @step
        def b(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_condition_name":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next({"x": self.a, "y": self.end}, condition=BAD)

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_keyword_too":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.k = "x"
            self.items = [1]
            self.next({"x": self.a, "y": self.end}, condition="k", foreach="items")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_variable":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            cases = {"x": self.a, "y": self.end}
            self.next(cases, condition="k")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_unpacked":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next({**{"x": self.a}, "y": self.end}, condition="k")

        @step
        def a(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_empty":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next({}, condition="k")

        @step
        def end(self):
            pass


if BAD == "switch_arms_not_joined":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.s, self.b)

        @step
        def s(self):
            self.next({"x": self.x, "y": self.y}, condition="k")

        @step
        def x(self):
            self.next(self.j)

        @step
        def y(self):
            self.next(self.end)

        @step
        def b(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "switch_arm_splits":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.k = "x"
            self.next({"x": self.x, "y": self.y}, condition="k")

        @step
        def x(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.next(self.y)

        @step
        def b(self):
            self.next(self.y)

        @step
        def y(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "catch_on_parallel":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, num_parallel=1)

        @catch(var="x")
        @parallel
        @step
        def a(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "starred_targets":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(*[self.a, self.b])

        @step
        def a(self):
            self.next(self.j)

        @step
        def b(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "keyword_unpacked":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, **{"foreach": "items"})

        @step
        def a(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "getattr_target":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(getattr(self, "end"))

        @step
        def end(self):
            pass


if BAD == "text_target":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next("end")

        @step
        def end(self):
            pass


if BAD == "called_target":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end())

        @step
        def end(self):
            pass


if BAD == "nested_target":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.other.end)

        @step
        def end(self):
            pass


if BAD == "no_target":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next()

        @step
        def end(self):
            pass


if BAD == "next_returned":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            return self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "next_assigned":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            x = self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "next_then_pass":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.end)
            pass

        @step
        def end(self):
            pass


if BAD == "next_in_with":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            with open(os.devnull):
                self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "next_in_try":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            try:
                self.next(self.end)
            finally:
                pass

        @step
        def end(self):
            pass


if BAD == "only_docstring":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            """Nothing."""

        @step
        def end(self):
            pass


if BAD == "property_step":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @property
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "foreach_keyword_number":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, foreach=5)

        @step
        def a(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_zero":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, num_parallel=0)

        @parallel
        @step
        def a(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "parallel_negative":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a, num_parallel=-1)

        @parallel
        @step
        def a(self):
            self.next(self.j)

        @step
        def j(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "digits":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.a1)

        @step
        def a1(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "unicode_name":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.größe)

        @step
        def größe(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if BAD == "reserved_cmd":

    class WorseGraphs(FlowSpec):
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


if BAD == "named_merge":

    class WorseGraphs(FlowSpec):
        """See the module."""

        @step
        def start(self):
            self.next(self.merge_artifacts)

        @step
        def merge_artifacts(self):
            self.next(self.end)

        @step
        def end(self):
            pass


if __name__ == "__main__":
    WorseGraphs()
