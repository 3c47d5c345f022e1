"""GraphQL in the application: requests read, documents known and stored, operations judged for a caller."""
