"""The host machine: ports (Protocols) here, one module per host subsystem beside."""
