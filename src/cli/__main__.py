"""`python -m spork.cli`: the `spork` command without its script."""

from spork.cli.main import main

main()
