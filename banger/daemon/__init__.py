"""The owner's daemon: HTTP over a unix socket, operations that outlive a request, sessions. It decides nothing."""
