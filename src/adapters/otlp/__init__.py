"""OTLP over HTTP: how telemetry leaves the process."""
