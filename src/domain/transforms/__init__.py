"""Changes of queries and JSON values: pointers, operations, masks, templates. Pure and compiled once per route."""
