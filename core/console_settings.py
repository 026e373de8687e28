"""The settings of the console: under which address people open it, and who lets them in."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from core.addresses import is_loopback


class ConsoleSettings(BaseSettings):
    """A part of `Settings`, with its names: `openid_issuer` is `PERENNIAL_OPENID_ISSUER`."""

    console_address: str | None = None
    """The URL under which people open the console, such as `https://console.example`.

    Needed behind a proxy, for a host name, and for OpenID; by default host and port."""

    openid_issuer: str | None = None
    """URL of the OpenID provider at which people sign in."""

    openid_client: str | None = Field(None, validate_default=True)
    """The console's client id at the provider."""

    openid_secret_file: Path | None = Field(None, validate_default=True)
    """The file with the client's secret."""

    openid_claim: str = Field("email", pattern="^[A-Za-z_][A-Za-z0-9_]*$")
    """The claim that names a person; a verified `email` by default."""

    @field_validator("console_address", "openid_issuer")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        """Refuse what is not `http(s)://host[:port]`, or has more than a path."""
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            usable = usable and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable or "@" in url or parts.query or parts.fragment:
            raise ValueError("not a URL such as https://console.example")
        return url.rstrip("/")

    @field_validator("console_address")
    @classmethod
    def _without_path(cls, url: str | None) -> str | None:
        if url and urlsplit(url).path:
            raise ValueError("not a URL without a path, such as https://console.example")
        return url

    @field_validator("openid_issuer")
    @classmethod
    def _encrypted(cls, url: str | None) -> str | None:
        if url and url.startswith("http:") and not is_loopback(urlsplit(url).hostname or ""):
            raise ValueError("not an https URL: whoever listens could sign in as anybody")
        return url

    @field_validator("openid_client", "openid_secret_file", mode="before")
    @classmethod
    def _belongs_to_the_provider(cls, value: object, info: ValidationInfo) -> object:
        if info.data.get("openid_issuer") and not value:
            raise ValueError("not empty while PERENNIAL_OPENID_ISSUER is set")
        return value

    @field_validator("openid_secret_file")
    @classmethod
    def _absolute_secret(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()
