"""`birthmark-station serve`: serves the ports and the page, and prints what happens."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from runtime.clock import utc_now
from runtime.systemd import notify
from shared.errors import BirthmarkError
from shared.protocol.states import STEPS
from station import config as configuration
from station.cli.data_directory import DATA_DIR
from station.cli.listener import Listener
from station.cli.page_link import MINUTES, make_link, page_address
from station.cli.tls import Tls, find_tls
from station.cli.watchdog import keep_watchdog
from station.config import EkPolicy, PageAccess
from station.events import Bus, NoticeChanged, PortChanged, PortState, Topic
from station.ports.allowed import AllowedPorts
from station.ports.watch import DEFAULT_PATTERN, serve_ports
from station.provisioning import public_address
from station.secrets.station_secret import StationSecret
from station.services import Services
from station.setup import data_dir as data_directory
from station.setup.data_lock import Lock, locked
from station.setup.open import open_station
from station.setup.root_key import ROOT_KEY_NAME
from station.web.app import create_app, create_runner
from station.web.http.addresses import Networks, Proxies

DRAIN_SECONDS: Final = 60.0
"""How long a stop waits for running sessions; below TimeoutStopSec= of birthmark-station.service."""

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


def _read_proxies(context: click.Context, option: click.Parameter, text: str | None) -> Proxies:
    try:
        return Proxies.of(text) if text else Proxies()
    except ValueError as error:
        raise click.BadParameter(f"{error}.", context, option) from None


@click.command()
@DATA_DIR
@click.option(
    "--host",
    "hosts",
    multiple=True,
    default=("127.0.0.1",),
    show_default=True,
    help="Address; may be given again. Another than loopback needs TLS, a proxy, or plain_http in station.toml.",
)
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--tls-certificate", type=_FILE, help="PEM: the certificate of this station's name, and its chain.")
@click.option("--tls-key", type=_FILE, help="PEM: its key, without a passphrase.")
@click.option(
    "--behind-proxy",
    metavar="ADDRESS[,ADDRESS...]",
    callback=_read_proxies,
    help="Addresses or networks of the proxies that do TLS and say for whom they ask.",
)
@click.option(
    "--serial-port",
    "serial_ports",
    multiple=True,
    help=f"A tty, or a pattern such as '/dev/ttyACM*'; may be given again. Default: '{DEFAULT_PATTERN}'.",
)
@click.option(
    "--allowed-ports",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of *.conf with the USB paths to serve (1-1.2, 1-1.*), one a line; no line allows all.",
)
@click.option(
    "--ek-policy",
    type=click.Choice([policy.value for policy in EkPolicy]),
    help="Overrides the configured policy for TPM certificates.",
)
def serve(
    data_dir: Path,
    hosts: tuple[str, ...],
    port: int,
    tls_certificate: Path | None,
    tls_key: Path | None,
    behind_proxy: Proxies,
    serial_ports: tuple[str, ...],
    allowed_ports: Path | None,
    ek_policy: str | None,
) -> None:
    """Provision what is plugged in, and serve the page.

    With systemd's socket activation, its sockets replace --host and --port: loopback is served in the clear, other
    machines by TLS, or without it in the clear those that plain_http in station.toml lists, and a UNIX socket is for a
    proxy that does TLS. The credentials tls.pem and tls.key replace --tls-certificate and --tls-key.
    """
    if (tls_certificate is None) != (tls_key is None):
        raise click.UsageError("give --tls-certificate and --tls-key together")
    tls = find_tls(tls_certificate, tls_key)
    patterns = serial_ports or (DEFAULT_PATTERN,)
    allowed = AllowedPorts(allowed_ports)
    allowed.patterns()  # report a mistake in the list now, not when a unit is plugged in
    data_directory.check(data_dir, supplied=StationSecret.supplied())
    plain = Networks(configuration.load(data_dir / configuration.CONFIG_NAME).web.plain_networks)
    listener = Listener(hosts, port, tls.context if tls else None, behind_proxy, plain)
    policy = EkPolicy(ek_policy) if ek_policy else None
    with locked(data_dir) as lock:
        asyncio.run(_serve(data_dir, lock, listener, tls, patterns, allowed, policy))


async def _serve(
    data_dir: Path,
    lock: Lock,
    listener: Listener,
    tls: Tls | None,
    patterns: tuple[str, ...],
    allowed: AllowedPorts,
    policy: EkPolicy | None,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_station(data_dir, policy) as station:
        app = create_app(
            station,
            proxies=listener.proxies,
            tls_ends=tls.end.timestamp() if tls else None,
        )
        listener.connections.watch_requests(app)
        runner = create_runner(app)
        await runner.setup()
        try:
            address = await listener.start(runner)
            page = page_address(address, station.config.authority, behind_proxy=listener.proxies.trust("127.0.0.1"))
            lock.note_page(page)
            _announce(station, address, tls, patterns)
            if listener.reached_in_the_clear and listener.plain:
                click.echo(
                    f"In the clear, to {listener.plain}: only what needs no token. The page is not served there."
                )
            await _announce_page(station, page)
            if await public_address.unreachable(station.config.authority, station.policy, station.database):
                click.echo(f"warning: {public_address.advice(station.config.authority)}", err=True)
            with suppress(BirthmarkError):  # told, and tried again
                await station.own.refresh()
            session = station.config.session
            tasks = [
                asyncio.create_task(serve_ports(patterns, station.provisioner, station.bus, session, allowed)),
                asyncio.create_task(_narrate(station.bus)),
                asyncio.create_task(_follow_vendors(station)),
                asyncio.create_task(station.own.follow()),
                asyncio.create_task(keep_watchdog()),
                asyncio.create_task(_wait_for_stop(stop, station.bus)),
            ]
            notify(f"Serving {address}", ready=True)
            _, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
        finally:
            await listener.stop()
            await runner.cleanup()


async def _wait_for_stop(stop: asyncio.Event, bus: Bus) -> None:
    """Wait for a signal to stop, then until no session runs. A second signal, or `DRAIN_SECONDS`, ends the wait."""
    await stop.wait()
    stop.clear()
    notify("Stopping; sessions under way may finish", stopping=True)
    drained = asyncio.create_task(_wait_until_idle(bus))
    again = asyncio.create_task(stop.wait())
    await asyncio.wait((drained, again), timeout=DRAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for task in (drained, again):
        task.cancel()


async def _wait_until_idle(bus: Bus) -> None:
    with bus.listen() as events:
        while bus.is_working():
            await events.get()


def _announce(station: Services, address: str, tls: Tls | None, patterns: tuple[str, ...]) -> None:
    click.echo(f"Station {station.config.name} of {station.config.authority.organization}: {address}")
    click.echo(f"Serial ports: {', '.join(patterns)}. TPM certificates: {_describe_policy(station)}.")
    host = urlsplit(station.config.authority.public_url).hostname or ""
    for problem in [*station.vendors.roots.problems, *(tls.problems(host, utc_now()) if tls else [])]:
        click.echo(f"warning: {problem}", err=True)
    if (station.data_dir / ROOT_KEY_NAME).exists():
        click.echo("warning: the root key still lies in the data directory; move it to a safe place.", err=True)


async def _announce_page(station: Services, page: str) -> None:
    """Print a link to the page to a person at a terminal, never into a journal or a file."""
    command = f"birthmark-station open --data-dir {shlex.quote(str(station.data_dir))}"
    if station.config.web.page is PageAccess.LOOPBACK:
        click.echo(f"The page is open to this machine: {page}")
    elif sys.stdout.isatty():
        click.echo(f"This opens the page, once, within {MINUTES} minutes; another: {command}")
        click.echo(f"  {await make_link(station.database, page)}")
    else:
        click.echo(f"The page is opened by a link: {command}")


def _describe_policy(station: Services) -> str:
    match station.policy:
        case EkPolicy.REQUIRE:
            return f"required, {station.vendors.roots.count} vendors' certificates known"
        case EkPolicy.RECORD:
            return "recorded, not required"
        case EkPolicy.SIMULATOR:
            return "TPM simulators are accepted; not for production"


async def _follow_vendors(station: Services) -> None:
    await station.vendors.follow(lambda problem: station.bus.tell(NoticeChanged(Topic.VENDORS, problem)))


async def _narrate(bus: Bus) -> None:
    """Print a line for each event, for an operator without the page. The log reports problems with vendors' files."""
    for topic in (Topic.PORTS, Topic.CERTIFICATE):
        if notice := bus.notice(topic):
            click.echo(f"warning: {notice}", err=True)
    with bus.listen() as events:
        while True:
            match await events.get():
                case PortChanged(port=port, state=PortState.WORKING | PortState.DONE | PortState.FAILED) as event:
                    unit = event.serial or "unknown unit"
                    code = f" [{event.code}]" if event.code else ""
                    if event.state is PortState.FAILED and event.findings:
                        code += f" It says of itself: {', '.join(event.findings)}."
                    click.echo(f"{port}  {unit}  step {event.step} of {STEPS}  {event.note}{code}")
                case PortChanged(port=port, state=PortState.NOT_READY) as event:
                    click.echo(f"{port}  {event.serial or 'unknown unit'}  not ready  {event.note} [{event.code}]")
                case NoticeChanged(topic=Topic.PORTS | Topic.CERTIFICATE, text=text) if text:
                    click.echo(f"warning: {text}", err=True)
                case PortChanged(port=port, state=PortState.ABSENT, note=note):
                    click.echo(f"{port}  {note}")
