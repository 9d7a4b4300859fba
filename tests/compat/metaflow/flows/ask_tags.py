"""Not a flow: changes tags of the newest run of a flow."""

import sys

from metaflow import Flow, namespace

run = Flow(sys.argv[1]).latest_run


def show(what, change):
    try:
        change()
        print(what, sorted(run.user_tags))
    except Exception as error:
        print(what, type(error).__name__, sorted(run.user_tags))


show("add", lambda: run.add_tag("one"))
show("add again", lambda: run.add_tag("one"))
show("add several", lambda: run.add_tags(["two", "three"]))
show("add by add_tag", lambda: run.add_tag(["four", "five"]))
show("add system", lambda: run.add_tag("user:tester"))
show("remove", lambda: run.remove_tag("two"))
show("remove absent", lambda: run.remove_tag("absent"))
show("remove several", lambda: run.remove_tags(["three", "four"]))
show("remove system", lambda: run.remove_tag("user:tester"))
show("remove mixed", lambda: run.remove_tags(["one", "user:tester"]))
show("replace", lambda: run.replace_tag("one", "eins"))
show("replace several", lambda: run.replace_tags(["eins", "five"], ["a", "b"]))
show("replace absent", lambda: run.replace_tag("absent", "c"))
show("replace with the same", lambda: run.replace_tags(["a"], ["a"]))
show("replace nothing", lambda: run.replace_tags([], []))
show("empty", lambda: run.add_tag(""))
show("number", lambda: run.add_tag(5))
show("none", lambda: run.add_tag(None))
show("long", lambda: run.add_tag("x" * 501))
show("just short enough", lambda: run.add_tag("x" * 500))
show("surrogate", lambda: run.add_tag("\ud800"))
show("unicode", lambda: run.add_tag("ünï 🎉"))
show("spaces", lambda: run.add_tag("with spaces"))
run.remove_tags(list(run.user_tags))
show("fifty", lambda: run.add_tags([f"t{n:02}" for n in range(50)]))
show("fifty-one", lambda: run.add_tag("one more"))
show("replace at fifty", lambda: run.replace_tag("t00", "z"))
print(sorted(run["start"].task.user_tags) == sorted(run.user_tags), "t01" in run.tags, "user:tester" in run.tags)
namespace("t01")
print(
    len(list(Flow(sys.argv[1]))),
    len(list(Flow(sys.argv[1]).runs("t02", "t03"))),
    len(list(Flow(sys.argv[1]).runs("no"))),
)
