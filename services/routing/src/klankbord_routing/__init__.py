"""Routing: carries what members say to the department that can act on it."""
