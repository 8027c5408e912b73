"""The HTTP session: one POST, its answer or its failure in words.

The only module that imports `requests` (some 100 ms), and so imported late, by the worker thread.
It is also the one place that knows which foreign exceptions there are.
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
_BODY_LIMIT = 64 * 1024  # bytes: a token is some 2 KiB; nobody reads more of an error
_PIECE = 4096  # bytes
# Statuses of answers that announce another one: all of 1xx but 101, which is an end of HTTP.
_INTERIM = range(102, 200)
_MOST_INTERIM = 100  # in front of one answer: each may take as long as the read timeout

# Wrong before anything was sent, and wrong again next time: a matter of configuration.
_PERMANENT = (
    exceptions.InvalidHeader,
    exceptions.InvalidSchema,
    exceptions.InvalidURL,
    exceptions.MissingSchema,
    exceptions.URLRequired,
    urllib3.exceptions.LocationValueError,
    ssl.SSLCertVerificationError,
)

# Raised for a URL that cannot be taken apart.
_MALFORMED = (exceptions.InvalidURL, urllib3.exceptions.LocationValueError)


class RequestFailed(Exception):  # noqa: N818 - it states what happened
    """No answer came.

    Args:
        detail: What happened, for people, without secrets of the URL.
        is_permanent: True if trying again as things are cannot help.
    """

    def __init__(self, detail: str, *, is_permanent: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.is_permanent = is_permanent


class Session:
    """A `requests` session set up for this API. Thread-safe as far as its connection pool is."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = _USER_AGENT
        # No state but the token: a cookie would tie this process to whatever set it.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # One retry layer only, the worker's. A pooled connection that the server has closed
        # meanwhile is noticed by urllib3 before it is used, and replaced.
        adapter = _Adapter(max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        # Proxies and certificates, as the environment has them: to look there for each request
        # costs as much as all else of it. A failure has them looked up anew.
        self._surroundings: Mapping[str, Any] | None = None

    def post(
        self,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        secret_headers: Mapping[str, str],
        timeout: tuple[float, float],
    ) -> Answer:
        """Makes one request.

        Args:
            url: Where to.
            body: What to send, or None for an empty request.
            headers: Headers of the request.
            secret_headers: Headers that let the request in.
            timeout: Limits for connecting and for each read, seconds.

        Raises:
            RequestFailed: There was no answer.
        """
        secrets = _SecretHeaders(secret_headers)
        request = requests.Request("POST", url, headers=headers, data=body, auth=secrets)
        surroundings, self._surroundings = self._surroundings, None
        try:
            if surroundings is None:
                surroundings = self._session.merge_environment_settings(url, {}, True, None, None)
            with self._session.send(
                self._session.prepare_request(request),
                timeout=timeout,
                allow_redirects=False,  # another origin must not see the secrets
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
        # A host name that IDNA cannot encode, a proxy's URL that requests does not foresee.
        except (ValueError, TypeError, LookupError) as error:
            raise RequestFailed(_brief(error), is_permanent=True) from None

    def close(self) -> None:
        self._session.close()


class _Adapter(HTTPAdapter):
    """An adapter whose pools hold no lock that a fork could leave locked, and know all of 1xx."""

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
    """An answer that is final: of the interim ones, the standard library knows 100 alone.

    To take a 102 or 103 for the answer would be to send again what the server has taken in.
    """

    def begin(self) -> None:
        for _ in range(_MOST_INTERIM):
            super().begin()
            if self.status not in _INTERIM:
                return
            self.headers = self.msg = None  # type: ignore[assignment] # else `begin` does nothing
        raise HTTPException(f"more than {_MOST_INTERIM} interim answers")


class _Idle:
    """A pool's idle connections: as much of a `queue.LifoQueue` as urllib3 uses, without its lock.

    A child that was forked while another thread held that lock would wait for it forever at its
    exit, where urllib3 empties all pools, those inherited included.
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
    """Sets headers as an authentication does, for `requests` replaces plain ones from ~/.netrc.

    See https://github.com/psf/requests/issues/3929.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


def _body(response: requests.Response, time_limit: float) -> bytes:
    """The beginning of the body; reading it all lets the connection be used again.

    A server may send it a byte at a time, each within the read timeout: so there is a limit for all
    of it together. (Where urllib3 has no `read1`, before 2.1, the limit is one of each piece.)
    """
    end = monotonic() + time_limit
    read = getattr(response.raw, "read1", response.raw.read)
    pieces: list[bytes] = []
    size = 0
    # Where it fails: the status has come and it alone decides; a retry would double the batch.
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
    # An OSError that is no RequestException: a CA bundle or client certificate that is not there.
    is_setup = isinstance(error, OSError) and not isinstance(error, exceptions.RequestException)
    is_permanent = is_setup or any(isinstance(link, _PERMANENT) for link in chain)
    return RequestFailed(_brief(chain[-1]), is_permanent=is_permanent)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it, down to the root; requests and urllib3 wrap in four ways."""
    chain = [error]
    while len(chain) < 10:  # noqa: PLR2004 - more than either library nests; a guard against a cycle
        inner = (getattr(chain[-1], "reason", None), *chain[-1].args, chain[-1].__cause__)
        below = next((link for link in inner if isinstance(link, BaseException)), None)
        if below is None:
            break
        chain.append(below)
    return chain


def _brief(error: BaseException) -> str:
    if isinstance(error, _MALFORMED) or type(error) in (TypeError, ValueError):
        # Such messages quote a part of the URL, and what looks like a host may be a password.
        text = "the base URL, or a proxy's (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY), is malformed"
    else:
        text = re.sub(r"//\S*@", "//***@", str(error))  # a proxy's URL may hold a password
    return f"{type(error).__name__}: {text}"
