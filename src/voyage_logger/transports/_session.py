"""The HTTP session: one POST request and its answer.

This is the only module that imports `requests`, which takes 100 ms. So the worker's thread imports
it at the first request. All exceptions of `requests` and `urllib3` are handled here.
"""

from __future__ import annotations

import contextlib
import queue
import re
import ssl
from collections import deque
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import urllib3.exceptions
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from voyage_logger._base.clock import monotonic
from voyage_logger._version import __version__
from voyage_logger.transports._verdict import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.poolmanager import PoolManager

_USER_AGENT = f"voyage-logger/{__version__}"
_BODY_LIMIT = 64 * 1024  # bytes: a token has about 2 KiB, and an error needs no more
_PIECE = 4096  # bytes
# Statuses of interim answers: all of 1xx except 101, which ends HTTP on the connection.
_INTERIM = range(102, 200)
_MOST_INTERIM = 100  # before one answer, because each may take as long as the read timeout

# Failures before anything is sent, which happen again until the configuration changes.
_PERMANENT = (
    exceptions.InvalidHeader,
    exceptions.InvalidSchema,
    exceptions.InvalidURL,
    exceptions.MissingSchema,
    exceptions.URLRequired,
    urllib3.exceptions.LocationValueError,
    ssl.SSLCertVerificationError,
)

# Errors for a URL that cannot be parsed.
_MALFORMED = (exceptions.InvalidURL, urllib3.exceptions.LocationValueError)


class RequestFailed(Exception):  # noqa: N818 - it states what happened
    """The server gave no answer. A permanent failure lasts until the configuration changes."""

    def __init__(self, detail: str, *, is_permanent: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.is_permanent = is_permanent


class Session:
    """A `requests` session for this API. Thread-safe, as far as its connection pool is."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = _USER_AGENT
        # Cookies are refused: a cookie could bind this process to one server of several.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Only the worker repeats requests. urllib3 replaces connections that the server has closed.
        adapter = _Adapter(max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        # The proxies and certificates of the environment are read again only after a failure,
        # because reading them takes as long as the rest of a request.
        self._surroundings: Mapping[str, Any] | None = None

    def post(
        self,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        secret_headers: Mapping[str, str],
        timeout: tuple[float, float],
    ) -> Answer:
        """Make one request. The timeout limits connecting and each read, in seconds."""
        secrets = _SecretHeaders(secret_headers)
        request = requests.Request("POST", url, headers=headers, data=body, auth=secrets)
        surroundings, self._surroundings = self._surroundings, None
        try:
            if surroundings is None:
                surroundings = self._session.merge_environment_settings(url, {}, True, None, None)
            with self._session.send(
                self._session.prepare_request(request),
                timeout=timeout,
                allow_redirects=False,  # A redirect could send the secrets to another server.
                **surroundings,
            ) as response:
                self._surroundings = surroundings
                return Answer(
                    status=response.status_code,
                    content_type=response.headers.get("Content-Type", "").lower(),
                    retry_after=response.headers.get("Retry-After"),
                    location=response.headers.get("Location"),
                    body=_body(response, timeout[1]),
                )
        except (exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _failure(error) from None
        # `requests` raises these errors for some malformed host names and URLs of proxies.
        except (ValueError, TypeError, LookupError) as error:
            raise RequestFailed(_brief(error), is_permanent=True) from None

    def close(self) -> None:
        self._session.close()


class _Adapter(HTTPAdapter):
    """An adapter whose connection pools have no locks, because a fork can copy a held lock."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _amend_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        return _amend_pools(super().proxy_manager_for(*args, **kwargs))


def _amend_pools(manager: PoolManager) -> PoolManager:
    pools: dict[str, Any] = manager.pool_classes_by_scheme
    if not all(pool.QueueCls is _Idle for pool in pools.values()):
        manager.pool_classes_by_scheme = {scheme: _amended(pool) for scheme, pool in pools.items()}
    return manager


def _amended(pool: Any) -> Any:
    connection = pool.ConnectionCls
    connection = type(connection.__name__, (connection,), {"response_class": _FinalResponse})
    return type(pool.__name__, (pool,), {"QueueCls": _Idle, "ConnectionCls": connection})


class _FinalResponse(HTTPResponse):
    """An HTTP response that skips all interim answers; the standard library skips only 100.

    If a 102 or 103 counted as the answer, the client would send a delivered batch again.
    """

    def begin(self) -> None:
        for _ in range(_MOST_INTERIM):
            super().begin()
            if self.status not in _INTERIM:
                return
            self.headers = self.msg = None  # type: ignore[assignment] # otherwise `begin` does nothing
        raise HTTPException(f"more than {_MOST_INTERIM} interim answers")


class _Idle:
    """The idle connections of a pool: the methods of `queue.LifoQueue` that urllib3 uses.

    A `LifoQueue` has a lock, and a fork can copy the lock while a thread holds it. Then the child
    would wait for the lock forever at its exit, because urllib3 empties all pools there.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: deque[Any] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002, FBT001, FBT002 - as the queue module has it
        if len(self._items) >= self._maxsize:
            raise queue.Full
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ARG002, FBT001, FBT002 - as the queue module has it
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._items)


class _SecretHeaders(AuthBase):
    """Sets headers that ~/.netrc cannot replace: https://github.com/psf/requests/issues/3929."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


def _body(response: requests.Response, time_limit: float) -> bytes:
    """Return the beginning of the body. Reading to the end frees the connection.

    The whole body has a time limit, because a server may send single bytes slowly.
    """
    end = monotonic() + time_limit
    read = getattr(response.raw, "read1", response.raw.read)  # urllib3 has `read1` since 2.1.
    pieces: list[bytes] = []
    size = 0
    # A failure is ignored: the status has arrived, and another attempt could duplicate the batch.
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        while size < _BODY_LIMIT and monotonic() < end:
            piece = read(_PIECE, decode_content=True)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)


def _failure(error: Exception) -> RequestFailed:
    chain = _chain(error)
    # An OSError that is no RequestException means a missing CA bundle or client certificate.
    is_setup = isinstance(error, OSError) and not isinstance(error, exceptions.RequestException)
    is_permanent = is_setup or any(isinstance(link, _PERMANENT) for link in chain)
    return RequestFailed(_brief(chain[-1]), is_permanent=is_permanent)


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error and its causes; requests and urllib3 wrap causes in four ways."""
    chain = [error]
    for _ in range(10):  # pragma: no branch - a limit, if causes ever form a cycle
        inner = (getattr(chain[-1], "reason", None), *chain[-1].args, chain[-1].__cause__)
        below = next((link for link in inner if isinstance(link, BaseException)), None)
        if below is None:
            break
        chain.append(below)
    return chain


def _brief(error: BaseException) -> str:
    if isinstance(error, _MALFORMED) or type(error) in (TypeError, ValueError):
        # Such a message quotes a part of the URL, which may be a password.
        text = "the base URL, or a proxy's (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY), is malformed"
    else:
        text = re.sub(r"//\S*@", "//***@", str(error))  # The URL of a proxy may hold a password.
    return f"{type(error).__name__}: {text}"
