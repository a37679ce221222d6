"""Writes a command's man page, section 1, from what click knows of it: `manpages.py PROGRAM MODULE` to stdout."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator

import click

from runtime.commands import loaded

# What lies where, and the units, which no `--help` tells.
MORE = {
    "birthmark-agent": """
.SH FILES
.TP
.I /etc/default/birthmark-agent
Settings of the services: the NUC map, the certificates to trust, the serial number.
.TP
.I /etc/birthmark-agent/root.pem
The root certificate to trust, as
.B birthmark-agent setup
installs it.
.TP
.I /etc/birthmark-agent/intermediate.pem
The intermediate certificate to trust under it, for a station that took over another authority.
.TP
.I /var/lib/birthmark-agent/identity
Certificate, chain and table ids, and sealed secrets; of no use without this Pi's TPM.
.SH SERVICES
.B birthmark-agent.service
is started by
.B birthmark-agent.timer
at each boot until a station has recorded this unit, and asks for
.B birthmark-gadget.service,
the USB serial port. From the next boot on
.B birthmark-quiet-port.service
keeps that port quiet.
""",
    "birthmark-station": """
.SH FILES
.TP
.I /etc/birthmark-station/ports.d/*.conf
The USB ports to serve, one path a line, with globs; none at all allows every port.
.TP
.I /etc/default/birthmark-station
More options of the service.
.TP
.I /var/lib/birthmark-station/data
The authority, its key tables and the registry.
.SH ENVIRONMENT
.TP
.B BIRTHMARK_DATA_DIR
The data directory to work on, in place of the service's.
.SH SERVICES
.B birthmark-station.service
is woken by a plugged-in unit, or by its page through
.B birthmark-station.socket.
""",
}


def escaped(text: str) -> str:
    """`text` as troff shows it: no line is taken for a request, no hyphen for a dash."""
    wanted = (line for line in inspect.cleandoc(text).splitlines() if line != "\b")
    lines = (line.replace("\\", "\\e").replace("-", "\\-") for line in wanted)
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line or ".PP" for line in lines)


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:
            yield f".TP\n.B {escaped(record[0])}\n{escaped(record[1])}"


def commands(command: click.Command, context: click.Context) -> Iterator[str]:
    """Every command below `command`, with its options."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        listed = command.get_command(context, name)
        if listed is None or listed.hidden:
            continue
        below = loaded(listed)
        inner = click.Context(below, context, name)
        usage = " ".join((inner.command_path.split(" ", 1)[1], *below.collect_usage_pieces(inner)))
        if not isinstance(below, click.Group):
            yield f".SS {escaped(usage)}\n{escaped(below.help or '')}"
            yield from options(below, inner)
        yield from commands(below, inner)


def page(program: str, command: click.Command) -> str:
    context = click.Context(command, info_name=program)
    summary = (command.help or program).strip().splitlines()[0].rstrip(".")
    return "\n".join(
        (
            f'.TH {program.upper()} 1 "" "" "Birthmark"',
            f".SH NAME\n{escaped(program)} \\- {escaped(summary)}",
            f".SH SYNOPSIS\n.B {escaped(program)}\n[OPTIONS] COMMAND [ARGS]...",
            f".SH DESCRIPTION\n{escaped(command.help or '')}",
            ".SH OPTIONS",
            *options(command, context),
            ".SH COMMANDS",
            *commands(command, context),
            MORE[program].strip(),
            ".SH EXIT STATUS\n0 done; 1 refused or impossible; 2 the command line is wrong; 75 may succeed later.",
        )
    )


if __name__ == "__main__":
    print(page(sys.argv[1], importlib.import_module(sys.argv[2]).main))
