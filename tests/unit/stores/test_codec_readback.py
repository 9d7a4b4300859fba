"""What pickle writes but cannot read is refused when it is stored."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import pytest

from headrace.model.errors import NotStorableError
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import pack, pack_template, unpack


class NewWithArguments:
    def __new__(cls, unit: str) -> NewWithArguments:
        self = super().__new__(cls)
        self.unit = unit
        return self

    unit: str


class FromArguments(NewWithArguments):
    def __getnewargs__(self) -> tuple[str]:
        return (self.unit,)


class StateThatDoesNotFit:
    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}

    def __setstate__(self, state: tuple[int, int]) -> None:
        _, self.b = state


class ReduceThatDoesNotFit:
    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b

    def __reduce__(self) -> Any:
        return ReduceThatDoesNotFit, (self.a,)


class EndlessAttributes:
    def __init__(self) -> None:
        self.inner = {"a": 1}

    def __getattr__(self, name: str) -> Any:
        return self.inner[name]


class Failure(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Pair(collections.namedtuple("Pair", "a b")):
    __slots__ = ()

    def __new__(cls, text: str) -> Pair:
        a, b = text.split(",")
        return super().__new__(cls, a, b)

    def __getnewargs__(self) -> Any:
        return self.a, self.b


class Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1

    def __setstate__(self, state: Any) -> None:
        self.b = state


class NoText(str):
    def __new__(cls, left: str, right: str) -> NoText:
        return super().__new__(cls, left + right)


class Counted:
    loads = 0

    def __init__(self) -> None:
        self.value = 1

    def __setstate__(self, state: dict[str, int]) -> None:
        Counted.loads += 1
        self.__dict__.update(state)


class Holder:
    def __init__(self, *parts: object) -> None:
        self.parts = list(parts)


CULPRITS: dict[str, Any] = {
    "NewWithArguments": lambda: NewWithArguments("kg"),
    "StateThatDoesNotFit": StateThatDoesNotFit,
    "ReduceThatDoesNotFit": lambda: ReduceThatDoesNotFit(1, 2),
    "EndlessAttributes": EndlessAttributes,
    "Failure": lambda: Failure(3, "no"),
    "Pair": lambda: Pair("x,y"),
    "Slotted": Slotted,
    "NoText": lambda: NoText("a", "b"),
}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.mark.parametrize("name", CULPRITS)
def test_what_cannot_be_read_back_is_refused_by_the_name_of_its_class(store: LocalStore, name: str) -> None:
    value = CULPRITS[name]()
    for _ in range(2):  # a class is never proven by a failure
        with pytest.raises(
            NotStorableError, match=rf"a .*\.{name} cannot be stored: .*cannot read it back.*give {name}"
        ):
            pack(value, store)
    with pytest.raises(NotStorableError, match=name):
        pack_template((value, 1), store)


@pytest.mark.parametrize("name", CULPRITS)
def test_the_part_of_a_value_that_cannot_be_read_back_is_named(store: LocalStore, name: str) -> None:
    with pytest.raises(NotStorableError, match=rf"list\[1\]\.parts\[1\] \(a .*\.{name}\) cannot be stored"):
        pack([0, Holder({"x": 1}, CULPRITS[name](), FromArguments("kg"))], store)


def test_the_first_of_many_is_tried_where_the_whole_is_large(store: LocalStore) -> None:
    many = [bytes([n % 256]) * 3000 for n in range(1000)]
    with pytest.raises(NotStorableError, match=r"list\[0\] \(a .*NewWithArguments\)"):
        pack([*[NewWithArguments("kg") for _ in range(1000)], *many], store)
    loaded: Any = unpack(pack([*[FromArguments("kg") for _ in range(1000)], *many], store), store)
    assert len(loaded) == 2000


def test_what_only_cloudpickle_can_write_is_tried_too(store: LocalStore) -> None:
    class Local(NewWithArguments):
        pass

    with pytest.raises(NotStorableError, match=r"list\[1\] \(a .*Local\) cannot be stored.*give Local a"):
        pack([lambda: 1, Local("kg")], store)


def test_a_class_is_loaded_once_only(store: LocalStore) -> None:
    for _ in range(5):
        pack([Counted(), Counted()], store)
    assert Counted.loads == 2
    assert isinstance(unpack(pack(Counted(), store), store), Counted)


def test_a_value_may_be_stored_unread(store: LocalStore) -> None:
    packed = pack(NewWithArguments("kg"), store, read_back=False)
    with pytest.raises(TypeError, match="unit"):
        pickle.loads(packed.inline[-packed.size :])
