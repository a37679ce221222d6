"""The TPM 2.0: the one place that imports a TPM library. A hardware chip and the swtpm simulator are one class here."""

from device_agent.tpm.simulator import Simulator
from device_agent.tpm.tpm import Blob, Certified, Publics, Tpm

__all__ = ["Blob", "Certified", "Publics", "Simulator", "Tpm"]
