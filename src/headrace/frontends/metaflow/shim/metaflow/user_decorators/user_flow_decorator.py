"""What users write around flows and steps."""

from headrace.frontends.metaflow.authoring.userdecorators import *  # noqa: F403
