"""What a flow file is made of: the class, its steps, parameters, configs and decorators, and the graph they make."""
