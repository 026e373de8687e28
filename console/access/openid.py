"""Signing in at an OpenID Connect provider: code flow with PKCE, state and nonce by Authlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from authlib.oauth2.rfc6749.errors import OAuth2Error
from fastapi import Request
from fastapi.responses import Response
from joserfc.errors import JoseError

from core.errors import ProviderUnreachable, SettingsError, SignInRefused
from core.settings import Settings

DISCOVERY = "/.well-known/openid-configuration"


class OpenId:
    """The provider of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._issuer = settings.openid_issuer or ""
        self._claim = settings.openid_claim
        self._callback = f"{settings.console_address or settings.console_url}/login/openid/callback"
        self._client = OAuth().register(
            "provider",
            client_id=settings.openid_client,
            client_secret=_client_secret(settings),
            server_metadata_url=self._issuer + DISCOVERY,
            client_kwargs={"scope": "openid email profile", "code_challenge_method": "S256"},
        )

    async def redirect(self, request: Request) -> Response:
        """Send the browser to the provider. Raises `ProviderUnreachable`, `SignInRefused`."""
        try:
            await self._require_issuer()
            response: Response = await self._client.authorize_redirect(request, self._callback)
        except _FAULTS as error:
            raise _named(error) from None
        return response

    async def name(self, request: Request) -> str:
        """Return the name of the person whom the provider sends back.

        Raises `ProviderUnreachable`, `SignInRefused`.
        """
        try:
            await self._require_issuer()
            token = await self._client.authorize_access_token(request)
            claims = await self._claims(token)
        except _FAULTS as error:
            raise _named(error) from None
        return claimed_name(claims, self._claim)

    async def _require_issuer(self) -> None:
        """Refuse a provider whose metadata name another issuer: its tokens would name it too."""
        metadata = await self._client.load_server_metadata()
        if str(metadata.get("issuer", "")).rstrip("/") != self._issuer:
            raise ValueError("metadata of another issuer")

    async def _claims(self, token: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the claims of the ID token, or those of the same person at `userinfo`."""
        claims: Mapping[str, Any] = token["userinfo"]
        if self._claim in claims:
            return claims
        more: Mapping[str, Any] = await self._client.userinfo(token=token)
        if more["sub"] != claims["sub"]:
            raise ValueError("claims of another person")
        return more


_MALFORMED = (RuntimeError, LookupError, ValueError, TypeError, AttributeError)
_FAULTS = (OAuthError, OAuth2Error, JoseError, httpx.HTTPError, *_MALFORMED)
"""What Authlib and its parts raise for answers that are missing, malformed or forged."""


def claimed_name(claims: Mapping[str, Any], claim: str) -> str:
    """Return the value of the claim that names people. Raises `SignInRefused`.

    An `email` counts when the provider has verified it: elsewhere anybody could claim it.
    """
    name = claims.get(claim)
    if not isinstance(name, str) or not name:
        raise SignInRefused(
            f"the claim {claim} from the provider",
            came="none",
            do="set PERENNIAL_OPENID_CLAIM to a claim that it sends, such as sub",
        )
    if claim == "email" and claims.get("email_verified") is not True:
        raise SignInRefused(
            "an e-mail address that the provider has verified",
            came="one that it has not",
            do="verify it there, or set PERENNIAL_OPENID_CLAIM to another claim",
        )
    return name


def _named(error: Exception) -> Exception:
    if isinstance(error, httpx.HTTPError):
        return ProviderUnreachable(
            "the OpenID provider to answer", came=type(error).__name__, do="try again in a moment"
        )
    return SignInRefused(
        "a sign-in that was begun here and granted by the provider",
        came=type(error).__name__,
        do="begin again",
    )


def _client_secret(settings: Settings) -> str:
    assert settings.openid_secret_file is not None, "the settings require it"
    try:
        return settings.openid_secret_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"a readable file {settings.openid_secret_file}",
            came=type(error).__name__,
            do="correct PERENNIAL_OPENID_SECRET_FILE",
        ) from None
