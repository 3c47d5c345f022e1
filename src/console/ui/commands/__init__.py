"""Commands that work on every screen, by concept. Each class says in `handlers` which of them it carries out."""
