"""The admin API spoken as a client: which gateway, its topics, its events, what goes wrong."""
