"""Answers a request that offers another protocol (`Upgrade: h2c`) over HTTP/1.1, with its body.

Patches uvicorn 0.54.0 (`data_received` and `_should_upgrade` of `HttpToolsProtocol`). Reason: a
stock Java HttpClient offers HTTP/2 with its first request. A server may ignore the offer (RFC 9110,
7.8). The parser then takes the body for the other protocol, so that the application gets none
(Kludex/uvicorn#2722).

Remove when uvicorn keeps the body of a request whose upgrade it does not support.
"""

from __future__ import annotations

from typing import Any

# What offers the upgrade. The parser stops after a head that has the first two.
OFFER = (b"connection", b"upgrade", b"http2-settings")


def ignore_upgrades() -> None:
    """From now on, ignore every offered protocol but WebSocket in this process."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    protocol: Any = HttpToolsProtocol
    protocol._should_upgrade = _stops_after_the_head
    protocol.data_received = _data_received


def _stops_after_the_head(_: Any) -> bool:
    """Called for a request with an upgrade only: nothing of it reaches the application yet."""
    return True


def _data_received(self: Any, data: bytes) -> None:
    """As uvicorn's, but for an upgrade that is not to WebSocket."""
    import httptools

    self._unset_keepalive_if_required()
    while True:
        try:
            self.parser.feed_data(data)
            return
        except httptools.HttpParserError:
            _refuse(self)
            return
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":  # a tunnel: for the parser, also an upgrade
                _refuse(self)
                return
            if self._get_upgrade() == b"websocket" and self._should_upgrade_to_ws():
                self.handle_websocket_upgrade()
                return
            data = _head_without_offer(self) + data[upgrade.args[0] :]
            self.parser = _new_parser(self)


def _refuse(protocol: Any) -> None:
    protocol.logger.warning("Invalid HTTP request received.")
    protocol.send_400_response("Invalid HTTP request received.")


def _head_without_offer(protocol: Any) -> bytes:
    """Return the head that was parsed, without the offer; `connection: close` stays."""
    parser = protocol.parser
    version = parser.get_http_version().encode()
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), protocol.url, version)]
    lines += [b"%b: %b" % header for header in protocol.headers if header[0] not in OFFER]
    connection = b",".join(value for name, value in protocol.headers if name == b"connection")
    if b"close" in [token.strip() for token in connection.lower().split(b",")]:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b""])


def _new_parser(protocol: Any) -> Any:
    """Return a parser in its first state, made as uvicorn makes it."""
    import httptools

    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
