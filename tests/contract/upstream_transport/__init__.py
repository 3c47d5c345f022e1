"""One suite for the UpstreamTransport port: the same assertions over every adapter, against real sockets."""
