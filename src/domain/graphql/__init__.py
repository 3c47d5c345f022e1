"""GraphQL as a gateway sees it: executable documents read, measured and priced without executing anything."""
