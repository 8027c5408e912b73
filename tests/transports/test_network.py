"""The transport uses proxies, checks certificates, and ignores netrc files and redirects."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.support.loggers import until
from tests.support.raw_server import RawServer
from tests.support.relay import Relay
from voyage_logger import ConnectionFailed, Kind, Transport, VoyageLogger
from voyage_logger.devserver import DevServer, redirect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voyage_logger import VoyageError

KEY, SECRET = "planted-key-4711", "planted-secret-4712"
ENTRY = {"message": "x", "level": "info", "app_name": "app", "environment": "test"}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
FAR = "192.0.2.1"  # The address of a machine that does not exist: see RFC 5737.
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.upper, PROXIES), *BUNDLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(api_key=KEY, api_secret=SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(server: DevServer, authority: trustme.CA) -> Iterator[Relay]:
    """Start the dev server with TLS and a certificate that clients do not trust by default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Relay(server.port, context) as relay:
        yield relay


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def transport_to(url: str) -> Transport:
    return Transport(KEY, SECRET, url, timeout=5)


# The tests of proxies follow.


@pytest.fixture
def origin() -> Iterator[RawServer]:
    """Start a server that accepts everything. Proxies reach it under the address of `FAR`."""
    body = b'{"data":[{"access_token":"planted-token-4713"}]}'
    with RawServer(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    ) as server:
        yield server


@pytest.fixture
def _far_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect to this machine if the client itself connects to `FAR`."""
    real = socket.getaddrinfo

    def found(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if host == FAR else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_proxy_of_the_environment_is_used(
    origin: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client uses a proxy from the environment. Only the proxy gets the proxy's credentials."""
    with Relay() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://somebody:planted-password@127.0.0.1:{proxy.port}")
        transport = transport_to(f"http://{FAR}:{origin.port}")
        assert transport.send([ENTRY])
        transport.close()
    assert f"POST http://{FAR}".encode() in proxy.seen
    assert b"Proxy-Authorization: Basic" in proxy.seen
    assert origin.requests == 2


@pytest.mark.parametrize("bypass", [FAR, "*", "192.0.2.0/24"])
@pytest.mark.usefixtures("_far_is_near")
def test_no_proxy_is_honored(
    origin: RawServer, monkeypatch: pytest.MonkeyPatch, bypass: str
) -> None:
    """If the server's host is in NO_PROXY, no proxy is used."""
    with Relay() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", bypass)
        transport = transport_to(f"http://{FAR}:{origin.port}")
        assert transport.send([ENTRY])
        transport.close()
    assert (proxy.connections, origin.requests) == (0, 2)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_is_never_used_for_this_machine(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, host: str, variable: str
) -> None:
    """If the server runs on this machine, no proxy of the environment is used."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    transport = transport_to(f"http://{host}:{server.port}")
    assert transport.send([ENTRY])
    transport.close()
    assert server.count() == 1


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://127.0.0.1:9", "127.0.0.1:9"),
        ("127.0.0.1:9", "127.0.0.1:9"),
        ("http://somebody:PASSWORD@127.0.0.1:9/", "127.0.0.1:9"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_failing_proxy_is_named(
    monkeypatch: pytest.MonkeyPatch, scheme: str, proxy: str, shown: str
) -> None:
    """If a proxy cannot be reached, the outcome names the server and the proxy."""
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    detail = transport_to(f"{scheme}://{FAR}").send([ENTRY]).detail
    assert detail.startswith(f"{scheme}://{FAR}: through the proxy {shown}: Connection")
    assert "refused" in detail
    assert "PASS" not in detail


def test_proxy_that_refuses_a_request_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a proxy answers with an error, the outcome names the proxy."""
    with RawServer(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
            detail = transport_to(f"{scheme}://{FAR}").send([ENTRY]).detail
            assert f"through the proxy 127.0.0.1:{proxy.port}" in detail
            assert "407" in detail


@pytest.mark.usefixtures("_far_is_near")
def test_proxy_that_comes_later_is_found_after_a_failure(
    origin: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed request, the environment variables for proxies are read again."""
    transport = transport_to(f"http://{FAR}:{origin.port}")
    assert transport.send([ENTRY])
    with Relay() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert transport.send([ENTRY])
        assert proxy.connections == 0
        origin.is_silent = True
        assert transport.send([ENTRY]).kind is Kind.TRY_AGAIN
        origin.is_silent = False
        assert transport.send([ENTRY])
        assert proxy.connections == 1
        transport.close()


def test_proxy_sees_nothing_of_https_but_the_host(
    origin: RawServer, authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy sees no header, secret or entry of an HTTPS request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(FAR).configure_cert(context)
    with Relay() as proxy, Relay(origin.port, context) as tls:
        monkeypatch.setenv("HTTPS_PROXY", f"http://somebody:else@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        transport = transport_to(f"https://{FAR}:{tls.port}")
        assert transport.send([ENTRY])
        token = transport._token
        transport.close()
    assert token is not None
    assert proxy.seen.startswith(f"CONNECT {FAR}:{tls.port} HTTP/1.".encode())
    for secret in (KEY, SECRET, token.value):
        assert secret.encode() in tls.seen
        assert secret.encode() not in proxy.seen
    assert b"message" not in proxy.seen


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "proxy",
    [
        "http://somebody:PASSWORD@127.0.0.1:1",
        "http://somebody:PASS@WORD@127.0.0.1:1",
        "http://somebody:PASS/WORD@127.0.0.1:1",
        "http://somebody:PASS#WORD@127.0.0.1:1",
        "http://some body:PASSWORD@127.0.0.1:99999",
        "http://somebody:PASSWORD@",
        "somebody:PASSWORD@127.0.0.1:1",
        "ftp://somebody:PASSWORD@127.0.0.1:1",
        "socks5://somebody:PASSWORD@127.0.0.1:1",
    ],
)
def test_no_error_shows_the_password_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, proxy: str, scheme: str
) -> None:
    """No error of `verify` shows the password in the URL of a proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    transport = transport_to(f"{scheme}://192.0.2.1")
    with pytest.raises(ConnectionFailed) as caught:
        transport.sign_in()
    assert "PASS" not in str(caught.value)
    assert "WORD" not in str(caught.value)
    assert "somebody:" not in str(caught.value)


# The tests of certificates follow.


def test_certificate_that_is_not_trusted_is_refused(
    server: DevServer, tls: Relay, capfd: pytest.CaptureFixture[str]
) -> None:
    """An untrusted certificate is reported in one line, and no entry is lost."""
    errors: list[VoyageError] = []
    logger = VoyageLogger(
        "app",
        base_url=f"https://127.0.0.1:{tls.port}",
        api_key=KEY,
        api_secret=SECRET,
        on_error=errors.append,
        flush_interval=600,
    )
    logger.info("x")
    until(lambda: errors)
    result, connections = logger.flush(0.5), tls.connections
    logger.close(timeout=0)
    assert (bool(result), result.pending) == (False, 1)
    assert connections <= 4  # the first three pauses are at least 0.25 s, 0.5 s and 1 s
    first = capfd.readouterr().err.splitlines()[0]
    assert "certificate verify failed" in first
    assert [type(error) for error in errors][:1] == [ConnectionFailed]
    assert isinstance(errors[0], ConnectionFailed)
    assert not errors[0].is_transient
    assert sum(isinstance(error, ConnectionFailed) for error in errors) == 1
    assert (bytes(tls.seen), server.requests) == (b"", [])


@pytest.mark.parametrize("variable", BUNDLES)
def test_bundle_of_the_environment_is_trusted(
    server: DevServer, tls: Relay, bundle: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """If an environment variable names a private authority's file, the authority is trusted."""
    monkeypatch.setenv(variable, bundle)
    transport = transport_to(f"https://127.0.0.1:{tls.port}")
    assert transport.send([ENTRY])
    transport.close()
    assert server.count() == 1


def test_certificate_of_another_host_is_refused(
    server: DevServer, authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate for another host is refused, even if a trusted authority has signed it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.invalid").configure_cert(context)
    with Relay(server.port, context) as relay:
        outcome = transport_to(f"https://127.0.0.1:{relay.port}").send([ENTRY])
    assert outcome.kind is Kind.BLOCKED
    assert "certificate" in outcome.detail
    assert server.requests == []


def test_missing_ca_bundle_is_reported(tls: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file of a CA bundle is missing, the permanent failure is immediately reported."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    outcome = transport_to(f"https://127.0.0.1:{tls.port}").send([ENTRY])
    assert outcome.kind is Kind.BLOCKED
    assert "/nowhere/bundle.pem" in outcome.detail


# The tests of netrc files and redirects follow.


@pytest.mark.parametrize("by", ["NETRC", "HOME"])
def test_netrc_changes_no_request(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """If a netrc file has an entry for the server's host, the requests do not change."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\ndefault login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv(by, str(netrc if by == "NETRC" else tmp_path))
    import requests  # noqa: PLC0415 - proves that `requests` finds the netrc entry

    assert requests.utils.get_netrc_auth(server.url) == ("somebody", "else")
    transport = transport_to(server.url)
    assert transport.send([ENTRY])
    token = transport._token
    transport.close()
    assert token is not None
    sign_in, batch = (dict(request.headers) for request in server.requests)
    assert "authorization" not in sign_in
    assert (sign_in["x-api-key"], sign_in["x-api-secret"]) == (KEY, SECRET)
    assert batch["authorization"] == f"Bearer {token.value}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirected_sign_in_is_not_followed(server: DevServer, status: int) -> None:
    """The client does not follow a redirect of the sign-in, so the other server gets no secret."""
    with DevServer() as other:
        server.script_sign_in(redirect(other.url + "/accounts/api/v1/auth/sign-in-keys", status))
        transport = transport_to(server.url)
        outcome = transport.send([ENTRY])
        transport.close()
        assert (outcome.kind, outcome.status) == (Kind.BLOCKED, status)
        assert other.url not in outcome.detail
        assert (other.connections, other.requests) == (0, [])
    assert len(server.requests) == 1
