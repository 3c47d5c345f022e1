"""The gateway inside an ASGI application: mounted below a path, or around the application as middleware.

    gateway = spork.asgi.gateway("spork.yaml")
    app = Starlette(routes=[Mount("/api", gateway)], lifespan=gateway.lifespan)

No framework runs the lifespan of what is mounted in it, so the host enters it: `lifespan=gateway.lifespan`, or
`async with gateway.lifespan(app)` inside its own. docs/mounting.md shows Starlette, FastAPI, Litestar and Django.
"""

from spork.asgi.mounting import MountedGateway, SporkMiddleware, gateway

__all__ = ["MountedGateway", "SporkMiddleware", "gateway"]
