"""Events of Argo: none are sent."""
