"""The TPM 2.0: the one place that imports a TPM library. A hardware chip and the swtpm simulator are one class here."""

from device_agent.tpm.simulator import Simulator
from device_agent.tpm.tpm import Certified, PublicAreas, Tpm

__all__ = ["Certified", "PublicAreas", "Simulator", "Tpm"]
