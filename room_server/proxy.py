"""Which proxy leads to an address, by the usual variables of the environment.

httpx would read them itself, but one entry of NO_PROXY that it cannot read (`::1/128`), or a scheme that it does not
know, ends the process. Here what cannot be used is one error that names the variable.
"""

import os
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

SCHEMES = ("http", "https", "socks5", "socks5h")


class UnusableProxy(Exception):
    """A variable names no proxy that can be used; the message names the variable and shows nothing of its value."""


class ProxySetting(NamedTuple):
    """A proxy, and the variable that names it."""

    proxy: httpx.Proxy
    variable: str


def proxy_to(address: str) -> ProxySetting | None:
    """The proxy to an address of http or https; None: it is reached without one. Raises UnusableProxy."""
    proxies, target = getproxies(), urlsplit(address)
    scheme = target.scheme if proxies.get(target.scheme) else "all"
    value = proxies.get(scheme)
    port = target.port or (443 if target.scheme == "https" else 80)
    if not value or _is_exempt(proxies.get("no", ""), target.hostname or "", port):
        return None
    variable = _variable(scheme, value)
    try:
        return ProxySetting(_complete(httpx.Proxy(value if "://" in value else f"http://{value}")), variable)
    except (ValueError, httpx.InvalidURL):
        expected = f"expected {', '.join(SCHEMES)}, as in socks5://host:1080"
        raise UnusableProxy(f"{variable} names no proxy: {expected}") from None


def _complete(proxy: httpx.Proxy) -> httpx.Proxy:
    """The proxy. Raises ValueError when it has no host, or a host or a port that cannot be one."""
    host, port = proxy.url.host, proxy.url.port
    if not host or "%" in host or not (port is None or 0 < port < 65536):
        raise ValueError
    return proxy


def _variable(scheme: str, value: str) -> str:
    """The variable as it is written in the environment; on macOS the value may come from the system instead."""
    named = (name for name, given in os.environ.items() if name.lower() == f"{scheme}_proxy" and given == value)
    return next(named, f"the system's {scheme} proxy")


def _is_exempt(no_proxy: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means the host: `*`, a name and all below it, an address, a network, with a port."""
    return any(_means(entry, host, port) for entry in no_proxy.replace(",", " ").split())


def _means(entry: str, host: str, port: int) -> bool:
    name = entry.rpartition("://")[2].rstrip("/").lower()
    if name == "*":
        return True
    name = name.removeprefix("*").removeprefix(".")
    if name in {host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}"} or host.endswith(f".{name}"):
        return True
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:  # one of them is a name, or nothing at all
        return False
