"""Objects as YAML that people read."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

#: Characters from which on a text is not a word.
_WORD = 40


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes equal parts twice instead of by reference, lists below their keys, and lists of words on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        """See PyYAML."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        """See PyYAML."""
        return super().increase_indent(flow, False)

    def represent_words(self, data: list[Any]) -> Any:
        """A list: on one line where it is one of words."""
        words = all(isinstance(one, str) and len(one) < _WORD for one in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=words)


_Dumper.add_representer(list, _Dumper.represent_words)


def yaml_text(*objects: Any) -> str:
    """Documents, one after the other, with their keys in the order given."""
    dumped: list[str] = [
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
        for one in objects
    ]
    return "---\n".join(dumped)
