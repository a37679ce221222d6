"""The station's metrics for Prometheus. No label names a unit, a client or a token."""

from __future__ import annotations

import math
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from station.validation.verdict import Reason

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

TOKEN: Final = "token"  # noqa: S105 - what was validated
CERTIFICATE: Final = "certificate"

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """One application's metrics. Counters count each event; gauges are set when `/metrics` is read."""

    def __init__(self, version: str, started: float) -> None:
        self.gauges_read = -math.inf
        """When the gauges were last read from the registry, on the monotonic clock."""
        self.registry: Final = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests: Final = self._counter(
            "birthmark_http_requests", "Answers given.", "method", "endpoint", "status"
        )
        self.request_seconds: Final = Histogram(
            "birthmark_http_request_seconds",
            "From a request's headers to the end of its answer.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rate_limited: Final = self._counter("birthmark_http_rate_limited", "Requests refused with 429.", "rate")
        self.validations: Final = self._counter(
            "birthmark_validations", "Validations by what was found; nobody outside is told it.", "kind", "reason"
        )
        self.sessions: Final = self._counter(
            "birthmark_sessions", "Sessions on the cable that were ended, and the error's code.", "outcome", "code"
        )
        self.provision_requests: Final = self._counter(
            "birthmark_provision_requests", "Units provisioned over HTTP, and refusals by code.", "outcome", "code"
        )
        self.units: Final = self._gauge("birthmark_units", "Units in the registry.", "state")
        self.expiring: Final = self._gauge(
            "birthmark_unit_certificates_expiring", "Provisioned units whose certificate ends within 60 days."
        )
        self.validated_often: Final = self._gauge(
            "birthmark_units_validated_often", "Units that were validated daily_warning times or more today."
        )
        self.uncounted: Final = self._gauge(
            "birthmark_validations_uncounted", "Validations of which no unit's count tells, since the start."
        )
        self.ports: Final = self._gauge("birthmark_ports", "Serial ports.", "state")
        self.certificate_expiry: Final = self._gauge(
            "birthmark_certificate_expiry_timestamp_seconds",
            "When the authority's own and the one for TLS end.",
            "certificate",
        )
        self.disk_free: Final = self._gauge("birthmark_disk_free_bytes", "On the data directory's disk.")
        self.disk_size: Final = self._gauge("birthmark_disk_size_bytes", "Of the data directory's disk.")
        self.audit_intact: Final = self._gauge("birthmark_audit_intact", "1 when the audit log was whole, else 0.")
        self.audit_checked: Final = self._gauge(
            "birthmark_audit_checked_timestamp_seconds", "When the audit log was last checked; 0 for not yet."
        )
        self.audit_rows: Final = self._gauge("birthmark_audit_rows", "Rows of the audit log at the last check.")
        self._gauge("birthmark_build_info", "Always 1.", "version").labels(version).set(1)
        self._gauge("birthmark_start_time_seconds", "When the station was started.").set(started)
        # Make every series at the start: a rate over a series that appears with its first event misses that event.
        for reason in Reason:
            self.validations.labels(TOKEN, reason.value)
            self.validations.labels(CERTIFICATE, reason.value)
        self.audit_intact.set(1)

    def count_validation(self, kind: str, reason: Reason) -> None:
        self.validations.labels(kind, reason.value).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)
