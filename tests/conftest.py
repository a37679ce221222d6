"""`make attack`: tests that replay an attack, and the table of what each attack got.

A test marked `attack("what the attacker does")` takes the fixture `got` and tells it, from what it measured, what the
attacker had in the end. A test that tells nothing fails: the table must not claim what no test saw."""

from collections.abc import Callable, Generator

import pytest

ATTACK, GOT = "attack", "got"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker(ATTACK)
        if marker is not None:
            item.user_properties.append((ATTACK, str(marker.args[0])))


@pytest.fixture
def got(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tells the table what the attack got: a few words, with the figures that were measured."""
    return lambda outcome: request.node.user_properties.append((GOT, outcome))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    if item.get_closest_marker(ATTACK) is not None and GOT not in dict(item.user_properties):
        pytest.fail("an attack's test must tell what the attack got")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.markexpr != ATTACK:
        return
    reports = [
        report
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call" or outcome == "error"
    ]
    rows = [(dict(report.user_properties), report.outcome) for report in reports]
    terminalreporter.section("attacks")
    for properties, outcome in sorted(rows, key=lambda row: row[0].get(ATTACK, "")):
        result = properties.get(GOT, "nothing told") if outcome == "passed" else "THE ATTACK WORKED, or its test broke"
        terminalreporter.write_line(f"{properties.get(ATTACK, '?')}\n    got: {result}")
    terminalreporter.write_line(f"{len(rows)} attacks, {sum(outcome != 'passed' for _, outcome in rows)} worked")
