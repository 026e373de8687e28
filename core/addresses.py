"""Which hosts only this machine can reach."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach a host, by its address or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name; only this one is known to be loopback
        return host == "localhost"


def is_every_address(host: str) -> bool:
    """Return whether a server on this host listens on all addresses of the machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
