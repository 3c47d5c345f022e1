"""An API gateway in typed Python: domain, application, adapters, composition, the `spork` command and the console."""
