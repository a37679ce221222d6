# The few words to remember. Each sets up what it needs first (scripts/setup) and says what it does.

UNITS ?= 3
PYTEST = .venv/bin/pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test attack lint bench faults fuzz soak packages apt-repository container release system-test docs pictures ci-full lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## install what is missing: Debian packages, then .venv
	@scripts/setup

demo: setup  ## a station and virtual Pis, live (UNITS=n; ONCE=1 checks the result and ends)
	@.venv/bin/python -m scripts.demo $(if $(ONCE),--once) --units $(UNITS)

test: setup  ## all tests but the slow ones (DISTRIBUTION=trixie: the unit tests, in a chroot of that release)
	@$(if $(DISTRIBUTION),scripts/setup scripts/apt-packages-system)
	@$(if $(DISTRIBUTION),.venv/bin/python -m scripts.unit_tests $(DISTRIBUTION),$(PYTEST) -m "not slow")

attack: setup  ## every known attack, replayed, as a table: attack, what it got
	@$(PYTEST) -m attack

lint: setup  ## ruff, mypy, which module may import which; systemd units, udev rules; what is largest
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@scripts/check-units
	@.venv/bin/python -m scripts.largest

bench: setup  ## how fast it is (QUICK=1 for a short look)
	@.venv/bin/python -m tests.bench $(if $(QUICK),--quick)

faults: setup  ## every fault at every point of a session, and what became of the unit (ONLY=text, SAMPLE=1)
	@.venv/bin/python -m tests.fault_injection $(if $(ONLY),--only "$(ONLY)") $(if $(SAMPLE),--sample)

fuzz: setup  ## fuzz every reader of a device's bytes (SECONDS=60 for each; KEEP=1 adds to tests/fuzz/corpus)
	@.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	@.venv/bin/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(if $(KEEP),--keep)

soak: setup  ## many units through one station: does it grow? (UNITS=2000)
	@.venv/bin/python -m tests.soak --units $(if $(filter file,$(origin UNITS)),2000,$(UNITS))

packages:  ## Debian packages of agent and station, in dist/ (DISTRIBUTION=trixie ARCH=arm64 for others than this machine's)
	@scripts/setup scripts/apt-packages-system $(if $(ARCH)$(DISTRIBUTION),scripts/apt-packages-foreign)
	@.venv/bin/python -m scripts.packages $(if $(DISTRIBUTION),--distribution $(DISTRIBUTION)) $(if $(ARCH),--architecture $(ARCH))

container:  ## the station's image, from its package and a Debian of mmdebstrap (BASE=debian:bookworm-slim)
	@scripts/setup scripts/apt-packages-system scripts/apt-packages-container
	@.venv/bin/python -m scripts.container $(if $(BASE),--base $(BASE))

apt-repository: setup  ## a signed repository for apt of the packages in dist/ (KEY=fingerprint or user id; VALID_DAYS=30)
	@.venv/bin/python -m scripts.apt_repository --key="$$KEY" $(if $(VALID_DAYS),--valid-days="$$VALID_DAYS")

release: setup  ## set the version, build the packages, commit and tag (VERSION=x.y.z)
	@.venv/bin/python -m scripts.release $(VERSION)

system-test:  ## a virtual Pi and a station, booted in QEMU (DISTRIBUTION=trixie: installs the packages there)
	@scripts/setup scripts/apt-packages-system scripts/apt-packages-container
	@.venv/bin/pytest -m slow $(if $(filter trixie,$(DISTRIBUTION)),tests/system/trixie,tests/system --ignore=tests/system/trixie)

ci-full: setup  ## what is too slow for CI: other releases and architectures, a busy machine (PARTS="releases busy"; hours)
	@scripts/ci-full

docs: setup  ## write again the pages of docs/ that are made from the code
	@.venv/bin/python -m scripts.docs

pictures:  ## take the README's pictures anew: the page, and a recording of make demo
	@scripts/setup scripts/apt-packages-pictures
	@.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[pictures]'
	@.venv/bin/python -m scripts.pictures

lock: setup  ## choose the newest versions of all Python packages and write constraints.txt
	@scripts/lock

clean:  ## remove what the others made
	rm -rf .venv build dist demo-data *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
	find . -name __pycache__ -prune -exec rm -rf {} +
