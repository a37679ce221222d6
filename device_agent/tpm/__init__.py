"""The TPM 2.0; only this package imports a TPM library. One class serves chips and the swtpm simulator."""

from device_agent.tpm.simulator import Simulator
from device_agent.tpm.tpm import Certified, DeviceKey, PublicAreas, Tpm

__all__ = ["Certified", "DeviceKey", "PublicAreas", "Simulator", "Tpm"]
