"""Types of ``kfp.dsl``."""
