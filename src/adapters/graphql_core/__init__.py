"""Schemas and registered documents, which are read once and thoroughly, by graphql-core. Never on the request path."""
