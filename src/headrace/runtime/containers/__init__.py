"""Containers: the engines that run commands in them (podman, docker, and the other container of this pod)."""
