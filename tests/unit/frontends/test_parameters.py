from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import shlex
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import File
from headrace.frontends.native.parameters import (
    ParameterSpec,
    bind_values,
    docstring_args,
    parameter_specs,
    parse_arguments,
    usage,
)
from headrace.frontends.native.text_forms import format_timedelta, parse_timedelta
from headrace.model.errors import DefinitionError, ParameterError
from headrace.model.params import to_text

if TYPE_CHECKING:
    from somewhere import Unknown


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Config:
    depth: int
    rate: float = 0.1
    where: Path | None = None
    tags: list[str] = field(default_factory=list)


class Special(Config):
    pass


class Mixed(enum.Enum):
    LOW = 0.1
    HIGH = "high"


@dataclass
class Levels:
    one: Mixed = Mixed.LOW


class Point(NamedTuple):
    x: int
    y: int = 0


class Opts(TypedDict, total=False):
    name: str
    size: int


class Shape(msgspec.Struct):
    kind: str
    sides: int = 3


class Plain:
    pass


def one(kind: Any, **more: Any) -> list[ParameterSpec]:
    return [ParameterSpec("x", kind, **more)]


def parse(kind: Any, *argv: str) -> Any:
    return parse_arguments(one(kind), list(argv))["x"]


def bind(kind: Any, value: object) -> Any:
    return bind_values(one(kind), {"x": value})["x"]


TEXTS = [
    (int, "3", 3),
    (int, "-3", -3),
    (int, "1_000", 1000),
    (float, "1e-3", 1e-3),
    (float, "3", 3.0),
    (float, "inf", math.inf),
    (bool, "true", True),
    (bool, "No", False),
    (str, "3", "3"),
    (str, "", ""),
    (str, "none", "none"),
    (Path, "a/b.csv", Path("a/b.csv")),
    (bytes, "abc", b"abc"),
    (complex, "1+2j", 1 + 2j),
    (list[int], "[1, 2]", [1, 2]),
    (list[int], "1,2", [1, 2]),
    (list[int], "", []),
    (list[float], "[1, 2.5]", [1.0, 2.5]),
    (list[str], "a, b", ["a", "b"]),
    (list[Path], '["a"]', [Path("a")]),
    (list, '[1, "a"]', [1, "a"]),
    (list, "1,a", [1, "a"]),
    (Sequence[int], "1,2", [1, 2]),
    (set[int], "1,2,2", {1, 2}),
    (tuple[int, str], "1,a", (1, "a")),
    (tuple[int, ...], "[1,2,3]", (1, 2, 3)),
    (tuple[float, float], "[1, 2]", (1.0, 2.0)),
    (list[list[int]], "[[1],[2,3]]", [[1], [2, 3]]),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (dict[str, int], "a=1,b=2", {"a": 1, "b": 2}),
    (dict[int, float], '{"1": 2}', {1: 2.0}),
    (dict, '{"a": [1]}', {"a": [1]}),
    (Literal["a", "b"], "b", "b"),
    (Literal[1, 2], "2", 2),
    (Literal["a", None], "none", None),
    (Colour, "RED", Colour.RED),
    (Colour, "red", Colour.RED),
    (Colour, "2", Colour.BLUE),
    (Level, "HIGH", Level.HIGH),
    (Level, "1", Level.LOW),
    (list[Colour], "red,BLUE", [Colour.RED, Colour.BLUE]),
    (Optional[int], "none", None),  # noqa: UP045
    (int | None, "4", 4),
    (str | None, "4", "4"),
    (Union[int, str], "4", 4),  # noqa: UP007
    (str | int, "four", "four"),
    (int | float, "4.5", 4.5),
    (str | Path, "a", "a"),
    (int | Path, "a", Path("a")),
    (int | list[int], "1,2", [1, 2]),
    (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
    (datetime.datetime, "2026-01-02", datetime.datetime(2026, 1, 2)),
    (datetime.timedelta, "1h30m", datetime.timedelta(minutes=90)),
    (Decimal, "1.50", Decimal("1.50")),
    (Config, '{"depth": 3, "where": "a"}', Config(3, where=Path("a"))),
    (Levels, '{"one": "HIGH"}', Levels(Mixed.HIGH)),
    (list[Levels], '[{"one": 0.1}, {"one": "high"}]', [Levels(), Levels(Mixed.HIGH)]),
    (Point, '{"x": 1}', Point(1)),
    (Point, "[1, 2]", Point(1, 2)),
    (Opts, '{"size": 1}', {"size": 1}),
    (Shape, '{"kind": "k"}', Shape("k")),
    (dict[str, Config], '{"a": {"depth": 1}}', {"a": Config(1)}),
    (Any, "[1]", [1]),
    (Any, "word", "word"),
    (Annotated[int, msgspec.Meta(ge=1)], "1", 1),
    (Annotated[int, "a note"] | None, "1", 1),
]


@pytest.mark.parametrize(("kind", "text", "value"), TEXTS, ids=str)
def test_a_text_becomes_a_value(kind: Any, text: str, value: object) -> None:
    for argv in (["--x", text], [f"--x={text}"], [f"x={text}"]):
        found = parse(kind, *argv)
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(("kind", "text", "value"), TEXTS, ids=str)
def test_such_values_are_taken_from_python(kind: Any, text: str, value: object) -> None:
    found = bind(kind, value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (int, "abc", "expected int, got 'abc'"),
        (int, "1.5", "expected int, got '1.5'"),
        (float, "x", "expected float, got 'x'"),
        (bool, "maybe", "expected bool, got 'maybe'"),
        (list[int], "1,a", "expected list[int], got '1,a' (expected int, got 'a')"),
        (list[int], "[1", "expected list[int], got '[1'"),
        (list[int], '["a"]', "expected list[int], got ['a']"),
        (tuple[int, str], "1", "expected tuple[int, str], got '1' (1 items)"),
        (dict[str, int], "a", "name=value"),
        (dict[str, int], '{"a": "b"}', "key 'a': expected int, got 'b'"),
        (Literal["a", "b"], "c", "expected 'a' | 'b', got 'c'"),
        (Colour, "green", "expected RED | BLUE, got 'green'"),
        (int | None, "x", "expected int | None, got 'x'"),
        (datetime.date, "soon", "expected date, got 'soon'"),
        (Config, "3", "expected Config, got '3' (write it as JSON, {\"field\": value})"),
        (Config, '{"depth": "a"}', "Config.depth: expected int, got 'a'"),
        (Config, '{"width": 1}', "no field 'width'; it has depth, "),
        (Point, '{"z": 1}', "no field 'z'"),
        (Point, "{}", "missing"),
        (Plain, "x", "call the flow from Python"),
        (np.ndarray, "x", "call the flow from Python"),
        (Annotated[int, msgspec.Meta(ge=1)], "0", ">= 1"),
    ],
    ids=str,
)
def test_a_wrong_text_is_explained(kind: Any, text: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(kind, f"x={text}")
    assert "parameter 'x'" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        (float, 1, 1.0),
        (float, np.float32(0.5), 0.5),
        (int, np.int64(3), 3),
        (bool, np.bool_(True), True),
        (int, Level.HIGH, 2),
        (list[int], (1, 2), [1, 2]),
        (list[int], range(2), [0, 1]),
        (list[float], np.arange(2), [0.0, 1.0]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (Path, "a", Path("a")),
        (Colour, "red", Colour.RED),
        (Config, {"depth": 1}, Config(1)),
        (list[str | int], ["a", 1], ["a", 1]),
        (float | int, 1, 1),
        (None, None, None),
    ],
    ids=str,
)
def test_what_loses_nothing_is_converted(kind: Any, value: object, result: object) -> None:
    found = bind(kind, value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "3"),
        (int, 1.0),
        (int, True),
        (int, None),
        (float, "1"),
        (str, 3),
        (str, Path("a")),
        (bool, 1),
        (Path, 3),
        (list[int], "12"),
        (list[int], ["a"]),
        (list[str], "ab"),
        (dict[str, int], [1]),
        (Literal[1], True),
        (Plain, Config(1)),
        (Config, 3),
        (Colour, 3),
        (np.ndarray[Any, np.dtype[np.float64]], [1]),
    ],
    ids=str,
)
def test_what_may_be_a_mistake_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ParameterError, match=r"parameter 'x': .*expected"):
        bind(kind, value)


def test_objects_are_taken_as_they_are() -> None:
    array, thing, special = np.zeros(3), Plain(), Special(1)
    assert bind(np.ndarray[Any, np.dtype[np.float64]], array) is array
    assert bind(Plain | None, thing) is thing
    assert bind(list[Plain], [thing])[0] is thing
    assert bind(Config, special) is special
    assert bind(Callable[[int], int], abs) is abs
    assert bind(Any, thing) is thing


PLAIN = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text()
JSON = st.recursive(
    PLAIN | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_round_trips_through_a_command_line(value: object) -> None:
    assert parse(Any, "x=" + msgspec.json.encode(value).decode()) == value


@given(st.lists(st.integers(-(2**62), 2**62)))
def test_lists_round_trip_in_every_form(values: list[int]) -> None:
    assert parse(list[int], f"x={to_text(values)}") == values
    assert parse(list[int], "x=" + ",".join(map(str, values))) == values
    if len(values) > 1:
        assert parse(list[int], *(word for value in values for word in ("--x", str(value)))) == values


@given(st.text())
def test_any_text_can_be_given_as_a_string(text: str) -> None:
    assert parse(str, "x=" + ("@" + text if text.startswith("@") else text)) == text


@given(st.floats(allow_nan=False))
def test_floats_round_trip(value: float) -> None:
    assert parse(float, "--x", repr(value)) == value


@given(st.lists(st.text(max_size=8), max_size=5))
def test_no_command_line_does_worse_than_an_error(argv: list[str]) -> None:
    specs = [ParameterSpec("depth", int, 1), ParameterSpec("flag", bool, False), ParameterSpec("names", list[str], [])]
    try:
        parse_arguments(specs, argv)
    except ParameterError:
        pass


# --- signatures ---------------------------------------------------------------------------------------------------


def train(path: str, depths: list[int], rate: float = 0.1, verbose: bool = False, *, config: Config = None, loose=1):
    """Train.

    Args:
        path: where the data is,
            in CSV
        rate (float): the learning rate
            : not a name

    Returns:
        path: nothing
    """


def test_specs_come_from_the_signature() -> None:
    specs = parameter_specs(train)
    assert [spec.name for spec in specs] == ["path", "depths", "rate", "verbose", "config", "loose"]
    assert [spec.required for spec in specs] == [True, True, False, False, False, False]
    assert specs[1].type == list[int]
    assert specs[4].type == Optional[Config]  # noqa: UP045
    assert specs[5].type is Any
    assert specs[0].help == "where the data is, in CSV"
    assert bind_values(specs, {"path": "a", "depths": [1]}) == {
        "path": "a",
        "depths": [1],
        "rate": 0.1,
        "verbose": False,
        "config": None,
        "loose": 1,
    }


def test_an_annotation_that_cannot_be_resolved_is_not_checked() -> None:
    def flow(a: Unknown, b: int) -> None: ...

    specs = parameter_specs(flow)
    assert [spec.type for spec in specs] == [Any, int]


def test_wrapped_functions_are_looked_through() -> None:
    class Step:
        __wrapped__ = staticmethod(train)

    assert parameter_specs(Step()) == parameter_specs(train)  # type: ignore[arg-type]


def test_star_arguments_are_refused() -> None:
    def flow(*values: int) -> None: ...

    def other(**values: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"\*args"):
        parameter_specs(flow)
    with pytest.raises(DefinitionError, match=r"\*\*kwargs"):
        parameter_specs(other)
    with pytest.raises(DefinitionError, match="not a Python function"):
        parameter_specs(len)


def test_missing_unknown_and_wrong_parameters_are_reported_together() -> None:
    specs = parameter_specs(train)
    with pytest.raises(ParameterError) as caught:
        bind_values(specs, {"rat": 1, "rate": "a"})
    assert str(caught.value).splitlines() == [
        "unknown parameter 'rat': did you mean 'rate'?",
        "parameter 'rate': expected float, got 'a'",
        "missing parameters: path (str), depths (list[int])",
    ]
    with pytest.raises(ParameterError, match="the parameters are path, depths"):
        bind_values(specs, {"zzz": 1}, complete=False)
    with pytest.raises(ParameterError, match="takes no parameters"):
        bind_values([], {"zzz": 1})


def test_a_few_may_be_changed() -> None:
    specs = parameter_specs(train)
    assert bind_values(specs, {"rate": 1}, complete=False) == {"rate": 1.0}
    assert parse_arguments(specs, ["--rate", "1"], complete=False) == {"rate": 1.0}


# --- the command line ---------------------------------------------------------------------------------------------

SPECS = [
    ParameterSpec("learning_rate", float, 0.1),
    ParameterSpec("flag", bool, False),
    ParameterSpec("deep", bool | None, None),
    ParameterSpec("names", list[str], []),
    ParameterSpec("sizes", dict[str, int], {}),
    ParameterSpec("text", str, ""),
    ParameterSpec("loose", Any, "text"),
]


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["--learning-rate", "1"], {"learning_rate": 1.0}),
        (["--learning_rate=1"], {"learning_rate": 1.0}),
        (["learning-rate=-1"], {"learning_rate": -1.0}),
        (["--learning-rate", "-1"], {"learning_rate": -1.0}),
        (["--flag"], {"flag": True}),
        (["--flag", "--deep", "no"], {"flag": True, "deep": False}),
        (["--no-flag"], {"flag": False}),
        (["--flag=off"], {"flag": False}),
        (["--flag", "text=a"], {"flag": True, "text": "a"}),
        (["--deep=none"], {"deep": None}),
        (["--names", "a,b"], {"names": ["a", "b"]}),
        (["--names", "a,b", "names=c"], {"names": ["a,b", "c"]}),
        (["--sizes", "a=1", "--sizes", "b=2"], {"sizes": {"a": 1, "b": 2}}),
        (["--text", "a=b"], {"text": "a=b"}),
        (["text=a=b"], {"text": "a=b"}),
        (["--text", "@@handle"], {"text": "@handle"}),
        (["--text=--odd"], {"text": "--odd"}),
        (["loose=12"], {"loose": "12"}),
    ],
)
def test_forms_of_arguments(argv: list[str], values: dict[str, object]) -> None:
    assert parse_arguments(SPECS, argv, complete=False) == values


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--learning-rat", "1"], "unknown parameter 'learning_rat': did you mean 'learning_rate'?"),
        (["1"], "unexpected argument '1': write --name value or name=value"),
        (["--learning-rate"], "parameter 'learning_rate': --learning-rate needs a value"),
        (["--learning-rate", "--flag"], "parameter 'learning_rate': --learning-rate needs a value"),
        (["--no-text"], "parameter 'text': --no-text is for flags only"),
        (["--text", "a", "--text", "b"], "parameter 'text': given 2 times, but str is a single value"),
        (["--params-file"], "--params-file needs the name of a JSON or TOML file"),
        (["--text", "@/no/such"], "cannot read '/no/such': No such file or directory (write @@"),
    ],
)
def test_wrong_arguments_are_explained(argv: list[str], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_arguments(SPECS, argv)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(message) or message in str(caught.value)


def test_values_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text("[1, 2]")
    (tmp_path / "v.toml").write_text('depth = 3\nwhere = "x"\n')
    (tmp_path / "v.txt").write_text("a\nb\n")
    (tmp_path / "n.txt").write_text("3\n")
    (tmp_path / "bad.json").write_text("[1")
    (tmp_path / "b.bin").write_bytes(b"\xff\x00")
    assert parse(list[float], "--x", f"@{tmp_path}/v.json") == [1.0, 2.0]
    assert parse(Config, f"x=@{tmp_path}/v.toml") == Config(3, where=Path("x"))
    assert parse(str, f"x=@{tmp_path}/v.txt") == "a\nb\n"
    assert parse(int, f"x=@{tmp_path}/n.txt") == 3
    assert parse(bytes, f"x=@{tmp_path}/b.bin") == b"\xff\x00"
    assert parse(Path, f"x=@{tmp_path}/v.txt") == tmp_path / "v.txt"  # the file itself
    file = parse(File | None, f"x=@{tmp_path}/b.bin")
    assert isinstance(file, File) and file.path == tmp_path / "b.bin"
    assert bind(File, tmp_path / "v.txt").path == tmp_path / "v.txt"
    with pytest.raises(ParameterError, match="cannot read"):
        parse(File, f"x=@{tmp_path}/none.txt")
    with pytest.raises(ParameterError, match=r"bad.json' is not valid JSON"):
        parse(list[int], f"x=@{tmp_path}/bad.json")
    with pytest.raises(ParameterError, match="not a text file"):
        parse(str, f"x=@{tmp_path}/b.bin")


def test_many_values_come_from_one_file(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text('learning-rate = 1\nnames = ["a"]\ntext = "t"\n')
    values = parse_arguments(SPECS, ["--text", "mine", "--params-file", str(file)], complete=False)
    assert values == {"learning_rate": 1.0, "names": ["a"], "text": "mine"}
    file.write_text('nams = 1\nlearning_rate = "x"\n')
    with pytest.raises(ParameterError) as caught:
        parse_arguments(SPECS, [f"--params-file={file}"])
    assert [line.partition(": ")[2] for line in str(caught.value).splitlines()] == [
        "unknown parameter 'nams': did you mean 'names'?",
        "parameter 'learning_rate': expected float, got 'x'",
    ]
    file.with_suffix(".json").write_text("3")
    with pytest.raises(ParameterError, match="must hold an object"):
        parse_arguments(SPECS, ["--params-file", str(file.with_suffix(".json"))])


# --- for people ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        ("a", '"a"'),
        (None, "null"),
        ([1, 2.5], "[1,2.5]"),
        ({"a": Path("b")}, '{"a":"b"}'),
        (Config(1), '{"depth":1,"rate":0.1,"where":null,"tags":[]}'),
        (Colour.RED, '"red"'),
        (np.float64(0.5), "0.5"),
        (math.nan, "nan"),
        (1j, "1j"),
    ],
)
def test_values_are_shown(value: object, text: str) -> None:
    assert to_text(value) == text


def test_usage_has_a_line_for_each_parameter() -> None:
    lines = usage(parameter_specs(train))
    assert tuple(lines[0]) == ("--path", "str", "required", "where the data is, in CSV")
    assert tuple(lines[2]) == ("--rate", "float", "0.1", "the learning rate : not a name")
    assert tuple(lines[3]) == ("--verbose / --no-verbose", "bool", "false", "")
    assert lines[4].type == "Config | None"
    assert lines[5].type == "any"
    assert [line.type for line in usage(one(Colour) + one(Literal["a", 1]) + one(tuple[int, ...]))] == [
        "RED | BLUE",
        "'a' | 1",
        "tuple[int, ...]",
    ]


class Version:
    def __init__(self, text: str) -> None:
        self.parts = tuple(int(part) for part in text.split("."))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and other.parts == self.parts

    def __str__(self) -> str:
        return ".".join(map(str, self.parts))


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (uuid.UUID, "00000000-0000-0000-0000-000000000000", uuid.UUID(int=0)),
        (decimal.Decimal, "-0", decimal.Decimal("-0")),
        (decimal.Decimal, "1e5", decimal.Decimal("1e5")),
        (fractions.Fraction, "1/3", fractions.Fraction(1, 3)),
        (ipaddress.IPv4Address, "127.0.0.1", ipaddress.IPv4Address("127.0.0.1")),
        (ipaddress.IPv6Network, "::/64", ipaddress.IPv6Network("::/64")),
        (zoneinfo.ZoneInfo, "UTC", zoneinfo.ZoneInfo("UTC")),
        (Version, "1.2.3", Version("1.2.3")),
        (Name, "ana", Name("ana")),
        (list[decimal.Decimal], "0.10,-0", [decimal.Decimal("0.10"), decimal.Decimal("-0")]),
        (uuid.UUID | None, "none", None),
    ],
    ids=str,
)
def test_a_class_with_a_constructor_of_a_text_takes_one(kind: Any, text: str, value: object) -> None:
    found = parse(kind, f"--x={text}")
    assert found == value and type(found) is type(value)
    assert str(found) == str(value)  # -0 and 0 are equal


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (uuid.UUID, "zz"),
        (decimal.Decimal, "ten"),
        (fractions.Fraction, "1/0"),
        (ipaddress.IPv4Address, "1.2.3"),
        (zoneinfo.ZoneInfo, "Nowhere/Else"),
        (Version, "one"),
        (list[uuid.UUID], "zz"),
    ],
    ids=str,
)
def test_a_text_that_a_constructor_refuses_is_not_said_to_have_no_form(kind: Any, text: str) -> None:
    with pytest.raises(ParameterError, match="expected") as caught:
        parse(kind, f"--x={text}")
    assert "text form" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("-5m", -300),
        ("1:30:00", 5400),
        ("0:05", 300),
        ("-1:30:00.5", -5400.5),
        ("2 days, 1:00:00", 176_400),
        ("1 day, 0:00", 86_400),
        ("P1D", 86_400),
        ("-P1DT1H", -90_000),
        ("pt1.5s", 1.5),
        ("1h30m", 5400),
    ],
)
def test_durations_are_understood_in_the_common_forms(text: str, seconds: float) -> None:
    assert parse(datetime.timedelta, "--x", text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["soon", "", "-", "1:99:00", "P", "1:2:3:4", "1h:30", "9999999999d"])
def test_a_wrong_duration_names_the_forms_that_are_understood(text: str) -> None:
    with pytest.raises(ParameterError, match="90s, 10m, 1h30m, 1:30:00 or P1D"):
        parse(datetime.timedelta, f"--x={text}")


@pytest.mark.parametrize(
    ("choices", "text", "value"),
    [
        (Literal["a", True], "true", True),
        (Literal["a", True, False], "off", False),
        (Literal[True, "yes"], "yes", "yes"),
        (Literal[1, True], "1", 1),
        (Literal[b"raw", None], "raw", b"raw"),
        (Literal[Colour.RED, "other"], "RED", Colour.RED),
    ],
    ids=str,
)
def test_choices_are_recognised_as_they_are_typed(choices: Any, text: str, value: object) -> None:
    found = parse(choices, f"--x={text}")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("name", ["x.json", "x.toml", "x.txt"])
def test_a_byte_order_mark_does_not_matter(name: str, tmp_path: Path) -> None:
    texts = {"x.json": '{"x": 4}', "x.toml": "x = 4", "x.txt": "4"}
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + texts[name].encode())
    argv = ["--x", f"@{tmp_path / name}"] if name == "x.txt" else ["--params-file", str(tmp_path / name)]
    assert parse(int, *argv) == 4


@pytest.mark.parametrize(
    ("kind", "default", "shown"),
    [
        (Colour, Colour.RED, "RED"),
        (list[Colour], [Colour.RED, Colour.BLUE], '["RED","BLUE"]'),
        (dict[str, Colour], {"a": Colour.BLUE}, '{"a":"BLUE"}'),
        (datetime.timedelta, datetime.timedelta(days=1, hours=2), "1d2h"),
        (datetime.timedelta, -datetime.timedelta(minutes=5), "-5m"),
        (datetime.date, datetime.date(2026, 1, 2), "2026-01-02"),
        (decimal.Decimal, decimal.Decimal("0.10"), "0.10"),
        (uuid.UUID, uuid.UUID(int=0), str(uuid.UUID(int=0))),
        (bytes, b"abc", "abc"),
        (complex, 1 + 2j, "(1+2j)"),
        (Path, Path("a/b"), "a/b"),
        (str, "a b", "'a b'"),
        (str, "", "''"),
        (str, "@here", "@@here"),
        (Literal["mse", "mae"], "mse", "mse"),
        (bool, True, "true"),
        (float, math.inf, "inf"),
        (int | None, None, "null"),
        (list[int], [2, 4], "[2,4]"),
        (Plain, None, "null"),
    ],
    ids=str,
)
def test_help_shows_a_default_as_it_is_typed(kind: Any, default: object, shown: str) -> None:
    [line] = usage(one(kind, default=default))
    assert line.default == shown
    if default is not None:
        assert parse(kind, "--x", *shlex.split(shown) if shown[0] not in "[{" else [shown]) == default


@given(st.timedeltas())
def test_durations_are_written_as_they_are_read(value: datetime.timedelta) -> None:
    assert parse_timedelta(format_timedelta(value)) == value


def test_a_docstring_without_arguments_says_nothing() -> None:
    assert docstring_args("Train.\n\nx: no\n") == {}
    assert docstring_args("Args:\n    x: yes\nOther:\n    y: no") == {"x": "yes"}
