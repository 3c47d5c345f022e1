"""OpenTelemetry's protocol (OTLP 1.x) written by hand: spans, metrics and log records as protobuf, without the SDK.

Pure: values in, bytes out; a background thread calls it. Fields stand in the order of their numbers and defaults are left
out, so that the bytes are those of the reference implementation (tests compare them).
"""
