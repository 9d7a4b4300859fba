"""The one part that names concrete stores and executors: settings in, objects out."""

from headrace.wiring.machine import machine
from headrace.wiring.places import WorkerOptions
from headrace.wiring.scopes import (
    Scope,
    check_exists,
    configure_logs,
    existing_scope,
    scope_at,
    scope_here,
    user_here,
    workspace_at,
)
from headrace.wiring.workspace import Workspace

__all__ = [
    "Scope",
    "WorkerOptions",
    "Workspace",
    "check_exists",
    "configure_logs",
    "existing_scope",
    "machine",
    "scope_at",
    "scope_here",
    "user_here",
    "workspace_at",
]
