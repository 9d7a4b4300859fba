"""Lending the workers of this machine to drivers elsewhere."""
