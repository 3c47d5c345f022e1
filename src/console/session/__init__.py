"""One operator at one gateway: what is known, how old it is, what may be changed."""
