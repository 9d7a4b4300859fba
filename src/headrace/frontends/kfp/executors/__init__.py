from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.execute import execute
from headrace.frontends.kfp.executors.folders import attempt_folder

__all__ = ["ComponentFailedError", "attempt_folder", "execute"]
