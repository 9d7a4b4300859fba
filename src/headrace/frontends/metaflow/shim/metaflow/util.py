"""Who runs flows."""

from headrace.frontends.metaflow.launch import user_name as get_username

__all__ = ["get_username"]
