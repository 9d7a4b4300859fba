"""What looks like a secret does not stand in what is recorded."""

from __future__ import annotations

import base64
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace._base.redaction import looks_secret, redact, redact_arguments

BODY = "abcdefghijABCDEFGHIJ0123456789abcdef"


def web_token() -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in ({"alg": "x"}, {"sub": 1})
    ]
    return ".".join([*parts, BODY])


@pytest.mark.parametrize(
    "token",
    [
        f"ghp_{BODY}",
        f"github_pat_{BODY}",
        f"glpat-{BODY[:20]}",
        f"sk-{BODY}",
        f"sk-ant-api03-{BODY}",
        "sk" + f"_live_{BODY[:24]}",
        f"AKIA{'ABCD0123' * 2}",
        "xox" + f"b-12345678-{BODY[:12]}",
        f"hf_{BODY}",
        f"AIza{BODY}",
        f"npm_{BODY}",
        f"pypi-{BODY}",
        f"dapi{'0123abcd' * 4}",
        web_token(),
    ],
)
def test_known_forms_of_tokens_are_hidden_wherever_they_stand(token: str) -> None:
    for text in (token, f"key is {token}, use it", f'{{"a": "{token}"}}', f"url?x={token}&y=1"):
        assert token not in redact(text) and "***" in redact(text)
        assert looks_secret(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ana:pa55@db/runs", "postgresql://ana:***@db/runs"),
        ("https://:tok@host", "https://:***@host"),
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer ***"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest",
            "-----BEGIN RSA PRIVATE KEY-----***\nrest",
        ),
        ("s3://bucket/key@v1 user@host:22 10:30 task-force risk-averse", None),
        ("https://host/a:b@c", None),
        ("max_tokens=100 the token count is 5", None),
    ],
)
def test_passwords_are_hidden_and_other_texts_are_left_alone(text: str, shown: str | None) -> None:
    assert redact(text) == (text if shown is None else shown)


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["run", "f.py", "--token", "abc"], ["run", "f.py", "--token", "***"]),
        (["--api-key=abc", "--depth", "3"], ["--api-key=***", "--depth", "3"]),
        (["password=abc"], ["password=***"]),
        (["--db-password", "a b c"], ["--db-password", "***"]),
        (["--secret", "--verbose"], ["--secret", "--verbose"]),
        (["--token", "env:TOKEN", "--password", "@file"], ["--token", "env:TOKEN", "--password", "@file"]),
        (["--tag", "token=abc"], ["--tag", "token=***"]),
        (["--tokens", "5", "--token-count", "3"], ["--tokens", "5", "--token-count", "3"]),
        (["--key", "column", "--monkey", "x"], ["--key", "column", "--monkey", "x"]),
        (["--note", f"ghp_{BODY}"], ["--note", "***"]),
        (["--config", '{"api_key": "abc", "depth": 3}'], ["--config", '{"api_key": ***, "depth": 3}']),
        (["--anything", "known value"], ["--anything", "known ***"]),
    ],
)
def test_command_lines_lose_the_values_of_options_that_are_called_so(argv: list[str], shown: list[str]) -> None:
    assert list(redact_arguments(argv, ["value"])) == shown


@given(st.lists(st.text(string.printable, max_size=40), max_size=6))
def test_redaction_is_done_after_one_pass_and_keeps_the_number_of_arguments(argv: list[str]) -> None:
    once = redact_arguments(argv)
    assert len(once) == len(argv)
    assert [redact(one) for one in once] == list(once)


@given(st.text(max_size=30), st.sampled_from(["hunter2", "pässwörd", "a+b*c?"]), st.text(max_size=30))
def test_values_that_are_known_are_hidden(before: str, value: str, after: str) -> None:
    assert value not in redact(before + value + after, [value])
