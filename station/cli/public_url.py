"""Asks for the address in every certificate, and warns when no other machine can reach it."""

from __future__ import annotations

import sys
from typing import Final

import click

from station.config import AuthorityConfig, EkPolicy
from station.provisioning import public_address

PUBLIC_URL: Final = click.option(
    "--public-url",
    help=f"Where others reach it; every certificate names it. Default: {AuthorityConfig().public_url}.",
)


def ask_public_url(given: str | None, policy: EkPolicy = EkPolicy.REQUIRE, *, ask: bool) -> str:
    """Return the given address, else the answer at a terminal. Does not ask for a station of simulators."""
    default = AuthorityConfig().public_url
    if given is None and ask and public_address.matters(policy) and sys.stdin.isatty():
        click.echo("Every certificate names the address where others reach this station.", err=True)
        answer: str = click.prompt("Public address", default=default, err=True)
        return answer
    return default if given is None else given


def warn_unreachable(authority: AuthorityConfig, policy: EkPolicy = EkPolicy.REQUIRE) -> None:
    """Warn on standard error when no other machine can reach the address in real units' certificates."""
    if authority.local_only and public_address.matters(policy):
        click.echo(f"warning: {public_address.advice(authority)}", err=True)
