"""Workers in pods of a Kubernetes cluster."""
