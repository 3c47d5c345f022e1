"""What is true: pure values and decisions of the gateway.

Nothing in this package reads a clock, opens a socket, logs or imports a third party. Time is an argument,
chance is an injected `random.Random`, and every answer is a value.
"""
