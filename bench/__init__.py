"""Cost per request beside peers, in one run."""
