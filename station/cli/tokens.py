"""`birthmark-station tokens`: creates, lists and revokes bearer tokens of the HTTP interface."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from runtime.clock import unix_time
from station.cli.common import AS_JSON, format_time, print_json
from station.cli.data_directory import DATA_DIR
from station.registry import tokens as registry_tokens
from station.registry.tokens import Scope, Token
from station.setup.open import open_registry

_DAY = 86_400


@click.group()
def tokens() -> None:
    """Manage the bearer tokens of the HTTP interface."""


@tokens.command()
@DATA_DIR
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice([scope.value for scope in Scope]))
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is good; without, until it is revoked.")
@AS_JSON
def create(data_dir: Path, name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make a token and print it, only now; the station keeps only its hash."""
    secret, expires_at = make_token(data_dir, name, frozenset(Scope(scope) for scope in scopes), days)
    if as_json:
        print_json({"name": name, "token": secret, "scopes": sorted(set(scopes)), "expires_at": expires_at})
    else:
        click.echo(secret)


def make_token(data_dir: Path, name: str, scopes: frozenset[Scope], days: int | None) -> tuple[str, int | None]:
    """Make a token, good for `days` or until it is revoked. Returns it, and when it expires."""
    now = unix_time()
    expires_at = now + days * _DAY if days else None

    async def write() -> str:
        async with open_registry(data_dir) as registry, registry.write() as connection:
            return await registry_tokens.create(connection, name, scopes, now, expires_at)

    return asyncio.run(write()), expires_at


@tokens.command("list")
@DATA_DIR
@AS_JSON
def list_tokens(data_dir: Path, as_json: bool) -> None:
    """List all tokens, without their secrets."""

    async def read() -> list[Token]:
        async with open_registry(data_dir) as registry, registry.read() as connection:
            return await registry_tokens.list_all(connection)

    found = asyncio.run(read())
    if as_json:
        print_json([_public(token) for token in found])
        return
    for token in found:
        state = "valid" if token.valid(unix_time()) else "revoked" if token.revoked_at else "expired"
        scopes = ",".join(sorted(token.scopes))
        used = format_time(token.last_used_at)
        click.echo(f"{token.name:32}{scopes:24}{state:10}until {format_time(token.expires_at)}, last used {used}")


@tokens.command()
@DATA_DIR
@click.argument("name")
@AS_JSON
def revoke(data_dir: Path, name: str, as_json: bool) -> None:
    """End a token, at once and for good."""

    async def write() -> Token:
        async with open_registry(data_dir) as registry, registry.write() as connection:
            return await registry_tokens.revoke(connection, name, unix_time())

    token = asyncio.run(write())
    if as_json:
        print_json(_public(token))
    else:
        click.echo(f"Revoked {token.name}.")


def _public(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
        "valid": token.valid(unix_time()),
    }
