"""What users write around flows and steps."""

from headrace.frontends.metaflow.userdeco import *  # noqa: F403
