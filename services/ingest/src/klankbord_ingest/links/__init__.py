"""Short links: where a community's own links lead, and who followed them."""
