"""Constants of ``kfp.dsl``."""

WORKSPACE_MOUNT_PATH = "/kfp-workspace"
