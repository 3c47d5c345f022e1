"""A shared HTTP cache's decisions (RFC 9111): pure functions over heads, with `now` passed in. No storage, no sockets."""
