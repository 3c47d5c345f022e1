"""Configuration as an operator writes it: YAML files and the environment, read, checked, written back, described."""
