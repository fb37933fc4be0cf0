"""Addresses of machines and of people, as the app's launcher and its pages both read them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

__all__ = ["READ_ONLY", "is_loopback", "named_in", "network_of"]

READ_ONLY = "HEADSCRIBE_READ_ONLY"
"""The variable by which the app's pages know that all visitors may browse and nobody may change anything."""


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


def network_of(address: str) -> str:
    """The place of an address: an IPv4 address; of IPv6 the /64, of which every household has all addresses."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
    return str(found)
