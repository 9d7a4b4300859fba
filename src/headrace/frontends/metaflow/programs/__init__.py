"""Flows driven from programs: ``Runner``, notebooks, ``Deployer``, ``subflow``."""
