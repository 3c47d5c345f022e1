"""A gateway for tests of what is built on it: in memory, with a clock that is moved by hand and targets that are functions.

`gateway(yaml, upstreams=...)` is the whole gateway without sockets: the configuration is read and checked as `spork serve`
would, guards, limits, breakers and caches are the real ones. `spork.testing.contracts` are the suites that the gateway's own
adapters pass, for yours; `spork.testing.fixtures` are pytest fixtures (`pytest_plugins = ["spork.testing.fixtures"]`).
"""

from spork.adapters.memory.upstream_transport import Received, Reply
from spork.testing.clock import VirtualClock
from spork.testing.gateway import Answer, GatewayUnderTest, gateway

__all__ = ["Answer", "GatewayUnderTest", "Received", "Reply", "VirtualClock", "gateway"]
