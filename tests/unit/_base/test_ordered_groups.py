"""``OrderedGroups`` beside plain lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace._base.ordered_groups import OrderedGroups

_STEPS = st.lists(st.tuples(st.integers(0, 9), st.lists(st.sampled_from("abc"), max_size=3)), max_size=60)


@given(_STEPS)
def test_groups_know_what_lists_would_know(steps: list[tuple[int, list[str]]]) -> None:
    groups: OrderedGroups[int] = OrderedGroups()
    model: dict[int, list[str]] = {}
    for thing, names in steps:
        if thing in model:
            del model[thing]
            groups.discard(thing)
        else:
            model[thing] = names
            groups.add(thing, *names)
        groups.discard(100)
        assert list(groups) == list(model)
        assert len(groups) == len(model)
        assert [one in groups for one in range(10)] == [one in model for one in range(10)]
        for name in "abc":
            within = [one for one, its in model.items() if name in its]
            assert list(groups.of(name)) == within
            assert groups.first(name) == (within[0] if within else None)
