"""The ASGI app: who is let in, the routes, and how errors are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ragwheel.errors import JudgmentError, RagwheelError, StoreError
from ragwheel.review.access import COOKIE, ReviewAccess
from ragwheel.review.desk import ReviewDesk
from ragwheel.review.options import ReviewOptions
from ragwheel.review.pages import HEADERS, link, page, static_files
from ragwheel.review.rooms import ROOMS, function_of

__all__ = ["app"]

_MOST_BYTES: Final = 4_000_000
_OPEN: Final = ("/login", "/static/")


def app(options: ReviewOptions, access: ReviewAccess) -> Starlette:
    """Return the review page as an ASGI app.

    Args:
        options: see :class:`ReviewOptions`.
        access: who may use it.
    """
    desk = ReviewDesk(options)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        desk.analysis.start()
        yield
        await to_thread.run_sync(desk.close)

    routes = [
        Route("/", _home, methods=["GET"]),
        Route("/login", _login(access), methods=["GET", "POST"]),
        Route("/static/{name}", _static(), methods=["GET"]),
    ]
    for path, (method, name) in ROOMS.items():
        endpoint = _page(desk, name) if method == "GET" else _command(desk, name)
        routes.append(Route(path, endpoint, methods=[method]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(_Guard, access=access)],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )


class _Guard:
    """Lets requests in that come from a page of this server and carry a token or cookie."""

    def __init__(self, app: ASGIApp, access: ReviewAccess) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused; pass on the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        response = self._refusal(Request(scope))
        await (self._app if response is None else response)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        access, path = self._access, request.url.path
        if not access.is_host(request.headers.get("host", "")):
            return page(
                "error.html", status=403, message="This page is served on the loopback interface only."
            )
        if request.method not in {"GET", "HEAD"} and not access.is_same_origin(request.headers):
            return JSONResponse({"error": "this request does not come from a page of this server"}, 403)
        token = request.query_params.get("token")
        if token is not None and access.is_token(token):
            rest = {name: value for name, value in request.query_params.items() if name != "token"}
            return _with_cookie(RedirectResponse(link(path, **rest), 303, dict(HEADERS)), request, access)
        if path.startswith(_OPEN) or access.is_cookie(request.cookies.get(COOKIE)):
            return None
        if request.method != "GET":
            return JSONResponse({"error": "signed out"}, 401)
        if access.password is not None:
            return RedirectResponse(link("/login", to=path), 303, dict(HEADERS))
        return page(
            "error.html",
            status=401,
            message="Open the address that ragwheel review printed, with its token: it lets this browser in.",
        )


def _with_cookie(response: Response, request: Request, access: ReviewAccess) -> Response:
    response.set_cookie(
        COOKIE, access.cookie(), max_age=30 * 24 * 3600, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


async def _home(_request: Request) -> Response:
    return RedirectResponse("/grade", 303, dict(HEADERS))


def _login(access: ReviewAccess) -> Callable[[Request], Awaitable[Response]]:
    async def login(request: Request) -> Response:
        to = request.query_params.get("to", "/grade")
        to = to if to.startswith("/") and not to.startswith("//") and "\\" not in to else "/grade"
        if access.password is None:
            return RedirectResponse("/grade", 303, dict(HEADERS))
        if request.method == "GET":
            return page("login.html", to=to, problem="")
        fields = parse_qs((await _body(request, 10_000)).decode("utf-8", "replace"))
        address = request.client.host if request.client else ""
        right = access.is_password(fields.get("password", [""])[0], address)
        if right:
            return _with_cookie(RedirectResponse(to, 303, dict(HEADERS)), request, access)
        if right is None:
            return page("login.html", status=429, to=to, problem="Too many tries. Wait a minute.")
        return page("login.html", status=403, to=to, problem="That is not the password.")

    return login


def _static() -> Callable[[Request], Awaitable[Response]]:
    files = static_files()

    async def static(request: Request) -> Response:
        content, kind = files.get(request.path_params["name"], (b"", ""))
        if not kind:
            raise HTTPException(404)
        return Response(content, headers={**HEADERS, "Cache-Control": "no-cache"}, media_type=kind)

    return static


async def _body(request: Request, most: int = _MOST_BYTES) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413)
        parts.append(part)
    return b"".join(parts)


def _page(desk: ReviewDesk, name: str) -> Callable[[Request], Any]:
    def respond(request: Request) -> Response:
        response: Response = function_of(name)(desk, request)
        return response

    async def endpoint(request: Request) -> Response:
        try:
            return await to_thread.run_sync(respond, request)
        except RagwheelError as exc:
            status = 503 if isinstance(exc, StoreError) else 400
            return page("error.html", status=status, message=str(exc))

    return endpoint


def _command(desk: ReviewDesk, name: str) -> Callable[[Request], Any]:
    def answer_to(body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = function_of(name)(desk, body)
        return answer

    async def endpoint(request: Request) -> Response:
        import msgspec

        try:
            body = msgspec.json.decode(await _body(request), type=dict[str, Any])
            answer = await to_thread.run_sync(answer_to, body)
        except (msgspec.DecodeError, JudgmentError) as exc:
            return JSONResponse({"error": str(exc)}, 400, dict(HEADERS))
        except RagwheelError as exc:
            return JSONResponse({"error": str(exc)}, 503, dict(HEADERS))
        return Response(msgspec.json.encode(answer), 200, dict(HEADERS), "application/json")

    return endpoint


async def _http_error(_request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 400
    message = {
        404: "There is no such page.",
        405: "This cannot be done here.",
        413: "That is too much at once.",
    }
    return page("error.html", status=status, message=message.get(status, "Refused."))
