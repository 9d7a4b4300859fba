from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.execute import execute

__all__ = ["ComponentFailedError", "execute"]
