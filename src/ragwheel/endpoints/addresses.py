"""Which network addresses a model endpoint may have."""

from __future__ import annotations

import ipaddress
from typing import Final

__all__ = ["IpAddress", "forbidden_reason", "is_forbidden_name", "is_loopback_name", "is_private"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Metadata services outside the link-local range: Alibaba Cloud, Azure, Oracle Cloud; AWS, Google over IPv6.
_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        (
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ),
    )
)
_METADATA_NAMES: Final = frozenset(("metadata.google.internal", "metadata.goog", "metadata", "instance-data"))
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
#: Translates to IPv4 in ways that only the local network knows (RFC 8215), so nothing in it can be checked.
_LOCAL_NAT64: Final = ipaddress.ip_network("64:ff9b:1::/48")
_IPV4_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_LOOPBACK_NAMES: Final = ("localhost", "ip6-localhost")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def is_loopback_name(host: str) -> bool:
    """True for ``localhost``, names below it, and loopback addresses."""
    name = host.lower().rstrip(".")
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    try:
        return _embedded(ipaddress.ip_address(host)).is_loopback
    except ValueError:
        return False


def is_forbidden_name(host: str) -> bool:
    """True for the host names of metadata services."""
    return host.casefold().rstrip(".") in _METADATA_NAMES


def forbidden_reason(address: IpAddress) -> str | None:
    """Say why no request may ever go to ``address``, or return None."""
    inner = _embedded(address)
    if address in _LOCAL_NAT64:
        return f"{address} is in the local NAT64 range 64:ff9b:1::/48, whose real addresses are not visible"
    if (
        inner.is_link_local
        or inner in _METADATA
        or address in _METADATA
        or inner.is_multicast
        or inner.is_unspecified
    ):
        return f"{address} is link-local or a metadata service, to which nothing is ever sent"
    return None


def is_private(address: IpAddress) -> bool:
    """True for an address that is not on the public internet, loopback included."""
    return not _embedded(address).is_global


def _embedded(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address carries, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    low = int(address) & 0xFFFFFFFF
    is_compatible = address in _IPV4_COMPATIBLE and low > 1  # :: and ::1 are addresses of their own
    is_isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    if address in _NAT64 or is_compatible or is_isatap:
        return ipaddress.IPv4Address(low)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
