"""A small shop, with some things wrong in it."""
