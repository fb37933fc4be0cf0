"""Addresses of machines and of people, as the app's launcher and its pages both read them."""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["is_loopback", "named_in"]


def is_loopback(host: str) -> bool:
    """Whether this name or address is of this machine alone."""
    if host.casefold() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def named_in(owners: str) -> frozenset[str]:
    """The e-mail addresses in a list with commas, in one case."""
    return frozenset(address.strip().casefold() for address in owners.split(",") if address.strip())
