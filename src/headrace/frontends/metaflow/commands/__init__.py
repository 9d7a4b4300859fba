"""The command line of a flow file."""
