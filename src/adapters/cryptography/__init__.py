"""X.509, read with pyca/cryptography."""
