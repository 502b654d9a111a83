# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP itself: framing, limits, methods, paths."""

import json
import os
import socket

import pytest

from support.api import problem
from support.raw_http import RawConnection, exchange
from support.wait import wait_until

MIB = 1 << 20
HOST = "Host: localhost\r\n"


def get(path, *headers, version="1.1"):
    return f"GET {path} HTTP/{version}\r\n{HOST}" + "".join(f"{h}\r\n" for h in headers) + "\r\n"


def post(path, body, *headers):
    return (f"POST {path} HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n" + "".join(f"{h}\r\n" for h in headers)
            + f"\r\n{body}")


# Methods and paths.

def test_unknown_path_is_404(daemon):
    for path in ("/", "/nothing", "/metrics", "/health/", "//health", "/Health", "/admin"):
        problem(daemon.get(path), 404, "path_unknown")


@pytest.mark.parametrize("method, path, allow", [
    ("POST", "/health", "GET, HEAD"), ("DELETE", "/stats", "GET, HEAD"),
    ("GET", "/query", "POST"), ("HEAD", "/query", "POST"), ("PUT", "/ingest", "POST"),
    ("OPTIONS", "/admin/backup", "GET, HEAD, POST"), ("PATCH", "/interactions", "GET, HEAD, POST"),
    ("get", "/health", "GET, HEAD"), ("GET", "/projects/p05", "PUT"),
    ("DELETE", "/projects/register", "POST, PUT"),
])
def test_wrong_method_is_405_with_allow(daemon, method, path, allow):
    answer = daemon.request(method, path)
    assert answer.status == 405
    assert answer.headers["Allow"] == allow
    if method != "HEAD":
        problem(answer, 405, "method_not_allowed")


def test_head_is_get_without_a_body(daemon):
    head, get_ = daemon.request("HEAD", "/health"), daemon.get("/health")
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Type"] == get_.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/%68ealth", "/health?x=1", "/health?", "/health?%41=b&&c"])
def test_equivalent_and_decorated_paths_are_the_same(daemon, path):
    daemon.get(path).expect(200)


@pytest.mark.parametrize("path", [
    "/health%", "/%zz", "/%00", "/health%00", "/%ff", "/%c3%28", "/health?a=%", "/health?%00=1",
    "/health?a=%ff",
])
def test_bad_escapes_are_400(daemon, path):
    problem(daemon.get(path), 400, "target_malformed")


def test_absolute_form_is_understood_and_its_host_is_judged(daemon):
    assert exchange(daemon.port, get("http://localhost:1/health")).status == 200
    assert exchange(daemon.port, get("http://evil.example/health")).status == 403
    assert exchange(daemon.port, get("*")).status == 400


# Heads.

def test_http_1_1_without_host_is_400(daemon):
    assert exchange(daemon.port, "GET /health HTTP/1.1\r\n\r\n").status == 400


def test_several_hosts_are_400(daemon):
    answer = exchange(daemon.port, get("/health", "Host: localhost"))
    assert (answer.status, answer.json["code"]) == (400, "host_ambiguous")


def test_http_1_0_needs_no_host(daemon):
    with RawConnection(daemon.port) as connection:
        answer = connection.send("GET /health HTTP/1.0\r\n\r\n").response()
        assert answer.status == 200
        assert connection.is_closed()


@pytest.mark.parametrize("head", [
    "Content-Length: 2\r\nContent-Length: 3\r\n",
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Content-Length : 2\r\n",
    "Content-Length: 2x\r\n",
    "Content-Length: -2\r\n",
    "Content-Length: 99999999999999999999999\r\n",
], ids=lambda head: head.strip().replace("\r\n", " "))
def test_request_whose_end_is_uncertain_is_refused_and_its_connection_closed(daemon, head):
    """Else what one reads as a body, another would read as a second request."""
    smuggled = get("/stats")
    with RawConnection(daemon.port) as connection:
        connection.send(f"POST /query HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n{head}"
                        f"\r\n{{}}{smuggled}")
        answer = connection.response()
        assert answer is None or answer.status in (400, 413)
        assert connection.response() is None


def test_chunked_body_is_taken(daemon):
    body = '{"prompt":1}'
    answer = exchange(daemon.port, (
        f"POST /query HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n"
        f"5\r\n{body[:5]}\r\n{len(body) - 5:x}\r\n{body[5:]}\r\n0\r\n\r\n"))
    assert (answer.status, answer.json["code"]) == (400, "field_type")


@pytest.mark.parametrize("request_, status", [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, (None, 400)),
    (b"\r\n\r\n\r\n" + get("/health").encode(), (200, 400, None)),
    (b"GET\r\n\r\n", (None, 400)),
    (b"GET /health\r\n\r\n", (None, 400)),
    (b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", (None, 400, 505)),
    (b"GET /health HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", (None, 400)),
    (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", (None, 400)),
    (b"\x00" * 1000, (None, 400)),
], ids=["tls", "blank lines", "word", "http 0.9", "http 9.9", "no colon", "bytes", "nul"])
def test_what_is_no_http_is_refused_and_the_daemon_lives(daemon, request_, status):
    with RawConnection(daemon.port) as connection:
        connection.send(request_)
        connection.socket.shutdown(socket.SHUT_WR)
        answer = connection.response()
        assert (answer.status if answer else None) in status
    daemon.get("/health").expect(200)


def test_head_without_end_is_431_or_414(daemon):
    with RawConnection(daemon.port) as connection:
        try:
            connection.send(f"GET /health HTTP/1.1\r\n{HOST}X: " + "x" * 100_000)
        except OSError:
            pass
        answer = connection.response()
        assert answer is None or answer.status == 431
    with RawConnection(daemon.port) as connection:
        try:
            connection.send("GET /" + "x" * 100_000)
        except OSError:
            pass
        answer = connection.response()
        assert answer is None or answer.status == 414
    daemon.get("/health").expect(200)


def test_large_but_bounded_head_is_taken(daemon):
    answer = exchange(daemon.port, get("/health", "Cookie: " + "x" * 4000))
    assert answer.status == 200


def test_requests_in_one_packet_are_answered_in_order(daemon):
    with RawConnection(daemon.port) as connection:
        connection.send(get("/health") + get("/nothing") + post("/query", "{") + get("/health"))
        assert [connection.response().status for _ in range(4)] == [200, 404, 400, 200]


def test_body_of_a_get_is_no_second_request(daemon):
    with RawConnection(daemon.port) as connection:
        hidden = get("/nothing")
        connection.send(f"GET /health HTTP/1.1\r\n{HOST}Content-Length: {len(hidden)}\r\n\r\n"
                        + hidden + get("/health"))
        assert [connection.response().status for _ in range(2)] == [200, 200]


# Bodies.

@pytest.mark.parametrize("media_type", [
    None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/jsonx", "application/json-patch+json", "application", "",
])
def test_body_that_is_not_said_to_be_json_is_415(daemon, media_type):
    headers = {} if media_type is None else {"Content-Type": media_type}
    connection = daemon.connection()
    connection.request("POST", "/query", b'{"prompt":"x"}', headers)
    answer = connection.getresponse()
    assert answer.status == 415
    assert json.loads(answer.read())["code"] == "media_type_unsupported"
    connection.close()


@pytest.mark.parametrize("media_type", [
    "application/json", "Application/JSON", "application/json; charset=utf-8",
    "application/json;charset=utf-8",
])
def test_json_is_json_however_it_is_said(daemon, media_type):
    answer = daemon.post("/query", "{}", headers={"Content-Type": media_type})
    problem(answer, 400, "field_missing")


def test_body_of_1_mib_is_taken_and_a_larger_one_is_413(daemon):
    fits = '{"prompt":"' + "x" * (MIB - len('{"prompt":""}')) + '"}'
    assert len(fits) == MIB
    assert daemon.post("/query", fits).status != 413
    problem(daemon.post("/query", fits + " "), 413, "body_too_large")


@pytest.mark.parametrize("size", [MIB + 1, 4 * MIB, 16 * MIB])
def test_client_that_sends_too_much_sees_why(daemon, size):
    """All of it is read first: a client that is still sending would see a reset instead."""
    problem(daemon.post("/query", b" " * size), 413, "body_too_large")


def test_connection_lives_on_after_a_body_that_was_dropped(daemon):
    with RawConnection(daemon.port) as connection:
        connection.send(post("/query", " " * (2 * MIB)))
        assert connection.response().status == 413
        assert connection.send(get("/health")).response().status == 200


def test_chunked_body_that_is_too_large_is_413_too(daemon):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with RawConnection(daemon.port) as connection:
        connection.send(f"POST /query HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(32):
            connection.send(chunk)
        answer = connection.send("0\r\n\r\n").response()
        assert (answer.status, answer.json["code"]) == (413, "body_too_large")


def test_announced_body_beyond_16_mib_is_answered_before_it_comes(daemon):
    with RawConnection(daemon.port) as connection:
        answer = connection.send(
            f"POST /query HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
            f"Content-Length: {17 * MIB}\r\n\r\n").response()
        assert answer.status == 413
        assert connection.is_closed()


def test_chunked_body_without_end_is_cut_off(daemon):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with RawConnection(daemon.port) as connection:
        connection.send(f"POST /query HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(100_000):
                connection.send(chunk)
    daemon.get("/health").expect(200)


def test_client_that_waits_for_100_continue_gets_it(daemon):
    with RawConnection(daemon.port) as connection:
        connection.send(f"POST /query HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
                        "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.response().status == 100
        assert connection.send("{}").response().status == 400


@pytest.mark.parametrize("path, length, status", [
    ("/query", 2 * MIB, 413), ("/nothing", 2, 404), ("/health", 2, 405)])
def test_client_that_waits_for_100_continue_is_refused_without_it(daemon, path, length, status):
    with RawConnection(daemon.port) as connection:
        answer = connection.send(
            f"POST {path} HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
            f"Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n").response()
        assert answer.status == status


def test_client_that_leaves_half_way_leaves_nothing_behind(daemon):
    for _ in range(50):
        with RawConnection(daemon.port) as connection:
            connection.send(post("/query", "x" * 1000)[:-500])
    for _ in range(50):
        with RawConnection(daemon.port) as connection:
            connection.send(post("/query", '{"prompt":"x"}'))
    daemon.get("/health").expect(200)
    wait_until(lambda: len(open_sockets(daemon)) <= 1, "the connections to be closed")


def open_sockets(daemon):
    directory = f"/proc/{daemon.process.pid}/fd"
    links = []
    for name in os.listdir(directory):
        try:
            links.append(os.readlink(f"{directory}/{name}"))
        except FileNotFoundError:
            pass
    return [link for link in links if link.startswith("socket:")]


# Connections.

def test_128_connections_are_served_and_further_ones_wait(daemon):
    held = [RawConnection(daemon.port) for _ in range(128)]
    try:
        for connection in held:
            assert connection.send(get("/health")).response().status == 200
        with RawConnection(daemon.port, timeout=0.5) as late:
            late.send(get("/health"))
            with pytest.raises((TimeoutError, socket.timeout)):
                late.response()
            late.socket.settimeout(60)
            held.pop().close()
            assert late.response().status == 200
    finally:
        for connection in held:
            connection.close()


def test_every_answer_forbids_caching(daemon):
    for path in ("/health", "/nothing"):
        assert daemon.get(path).headers["Cache-Control"] == "no-store"
