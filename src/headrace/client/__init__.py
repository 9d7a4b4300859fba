"""Reading runs back, and tracking: what users import beside flows and steps."""
