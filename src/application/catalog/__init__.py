"""Documents of upstreams: fetched, kept, merged into what this gateway serves, and checked against."""
