"""`python -m station` runs `birthmark-station`."""

from station.cli import main

main(prog_name="birthmark-station")
