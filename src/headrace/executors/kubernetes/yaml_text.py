"""Objects as YAML that people read."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes equal parts twice instead of by reference, and lists below their keys."""

    def ignore_aliases(self, data: Any) -> bool:
        """See PyYAML."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        """See PyYAML."""
        return super().increase_indent(flow, False)


def yaml_text(*objects: Any) -> str:
    """Documents, one after the other, with their keys in the order given."""
    dumped: list[str] = [
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
        for one in objects
    ]
    return "---\n".join(dumped)
