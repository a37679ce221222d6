"""Agents whose keys are outside the TPM or have wrong attributes, and agents that replay or borrow proofs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import ClassVar

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2B_DATA,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE,
    TPMA_OBJECT,
)

from device_agent.tpm import Tpm, templates
from device_agent.tpm.tpm import _NO_SCHEME, _Key
from shared.errors import BirthmarkError
from shared.protocol.messages import Identity, Proof
from station.attestation.tpm2.structures import Attributes, sized
from tests.adversary.dishonest_agent import DishonestAgent, but, claiming, refused_with, without
from tests.harness import soft_device as soft

log = logging.getLogger(__name__)


# --- keys outside a TPM, or with wrong attributes ---


@refused_with("attestation.certify-other-key")
class SoftwareDeviceKey(DishonestAgent):
    """A software key with a TPM key's attributes, and the genuine statement about the genuine key."""

    key = soft.Key(soft.DEVICE)

    def claim(self, honest: Identity) -> Identity:
        return but(honest, device_public=self.key.public)

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, csr=soft.csr(self.key.private))


@refused_with("attestation.certify-other-ak")
class SoftwareDeviceKeyWithForgedStatement(SoftwareDeviceKey):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        attest, signature = soft.certify(self.key.name, soft.Key(soft.AK), after)
        return but(super().testify(honest, after), device_attest=attest, device_signature=signature)


@refused_with("attestation.secret-wrong")
class SoftwareTpm(DishonestAgent):
    """Software keys under a genuine TPM's endorsement key and EK certificate."""

    keys = soft.Device()

    def claim(self, honest: Identity) -> Identity:
        keys = self.keys
        return but(honest, ak_public=keys.ak.public, srk_public=keys.srk.public, device_public=keys.device.public)

    def testify(self, honest: Proof, after: bytes) -> Proof:
        keys = self.keys
        device, srk = (soft.certify(key.name, keys.ak, after) for key in (keys.device, keys.srk))
        return but(
            honest,
            device_attest=device[0],
            device_signature=device[1],
            srk_attest=srk[0],
            srk_signature=srk[1],
            csr=soft.csr(keys.device.private),
        )


@refused_with("attestation.device-key-not-fixed")
class ImportedDeviceKey(DishonestAgent):
    """A software key whose attributes say that it was imported."""

    key = soft.Key(soft.DEVICE & ~soft.BORN_HERE)

    def claim(self, honest: Identity) -> Identity:
        return but(honest, device_public=self.key.public)


@refused_with("attestation.certify-other-key")
class ImportedDeviceKeyPassedOffAsBornThere(ImportedDeviceKey):
    """The genuine AK certifies a software key that was loaded from outside."""

    def claim(self, honest: Identity) -> Identity:
        return but(honest, device_public=claiming(self.key.public, soft.BORN_HERE))

    def testify(self, honest: Proof, after: bytes) -> Proof:
        area = self.key.public
        public, _ = TPM2B_PUBLIC.unmarshal(sized(area))
        value = self.key.private.private_numbers().private_value.to_bytes(32, "big")
        sensitive = TPM2B_SENSITIVE()
        sensitive.sensitiveArea.sensitiveType = TPM2_ALG.ECC
        sensitive.sensitiveArea.sensitive.ecc = value
        (ak,) = self._tpm._loaded(_Key.AK)
        handle = self._tpm._run("bring a key", lambda esapi: esapi.load_external(public, sensitive, ESYS_TR.NULL))
        try:
            made = self._tpm._certify(handle, ak, after)
        finally:
            self._tpm._flush(handle)
        return but(
            honest,
            device_attest=made.attest,
            device_signature=made.signature,
            csr=soft.csr(self.key.private),
        )


@refused_with("attestation.ak-not-restricted")
class UnrestrictedAk(DishonestAgent):
    """An AK in the TPM that would sign any forgery."""

    template: ClassVar = {"attestation_key": without(templates.attestation_key, TPMA_OBJECT.RESTRICTED)}


@refused_with("attestation.secret-wrong")
class UnrestrictedAkPassedOffAsRestricted(UnrestrictedAk):
    """The credential is for the key with the claimed attributes, which no TPM holds."""

    def claim(self, honest: Identity) -> Identity:
        return but(honest, ak_public=claiming(honest.ak_public, Attributes.RESTRICTED))


@refused_with("attestation.ak-not-fixed")
class ImportedAk(DishonestAgent):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, ak_public=soft.Key(soft.AK & ~soft.BORN_HERE).public)


def with_a_policy(template: Callable[[], TPM2B_PUBLIC]) -> Callable[[], TPM2B_PUBLIC]:
    """A template whose key may also be used by whoever fulfils a policy: here, the endorsement hierarchy's password."""

    def make() -> TPM2B_PUBLIC:
        public = template()
        public.publicArea.authPolicy = soft.POLICY_A
        return public

    return make


@refused_with("attestation.ak-wrong-kind")
class AkWithAPolicy(DishonestAgent):
    """An AK in the TPM that may be used without its password, too."""

    template: ClassVar = {"attestation_key": with_a_policy(templates.attestation_key)}


@refused_with("attestation.device-key-wrong-kind")
class DeviceKeyWithAPolicy(DishonestAgent):
    template: ClassVar = {"device_key": with_a_policy(templates.device_key)}


@refused_with("attestation.srk-wrong-kind")
class StorageKeyWithAPolicy(DishonestAgent):
    template: ClassVar = {"storage_key": with_a_policy(templates.storage_key)}


@refused_with("attestation.ak-wrong-kind")
class AkThatLocksUp(DishonestAgent):
    """An AK in the TPM that is subject to the dictionary attack lockout."""

    template: ClassVar = {"attestation_key": without(templates.attestation_key, TPMA_OBJECT.NODA)}


@refused_with("attestation.srk-not-fixed")
class StorageKeyThatCanLeave(DishonestAgent):
    """A storage key that may leave the TPM: table keys wrapped to it could be read outside."""

    template: ClassVar = {"storage_key": without(templates.storage_key, TPMA_OBJECT.FIXEDTPM, TPMA_OBJECT.FIXEDPARENT)}


@refused_with("attestation.certify-other-key")
class StorageKeyThatCanLeavePassedOffAsFixed(StorageKeyThatCanLeave):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, srk_public=claiming(honest.srk_public, Attributes.FIXED_TPM | Attributes.FIXED_PARENT))


@refused_with("attestation.certify-other-key")
class SoftwareStorageKey(DishonestAgent):
    """A storage key in software, whose owner could read every table key wrapped to it."""

    def claim(self, honest: Identity) -> Identity:
        return but(honest, srk_public=soft.Key(soft.SRK, soft.AES_128, soft.NOTHING).public)


# --- statements and secrets from other sessions and TPMs ---


@refused_with("attestation.certify-other-session")
class StatementOfAnotherSession(DishonestAgent):
    """The same TPM's statement about the same key, made for another station."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        earlier = self.tools.earlier
        return but(honest, device_attest=earlier.device_attest, device_signature=earlier.device_signature)


@refused_with("attestation.certify-other-session")
class StorageStatementOfAnotherSession(DishonestAgent):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        earlier = self.tools.earlier
        return but(honest, srk_attest=earlier.srk_attest, srk_signature=earlier.srk_signature)


@refused_with("attestation.certify-other-session")
class StatementOverAnotherTranscript(DishonestAgent):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        made = self._tpm.certify_device_key(os.urandom(32))
        return but(honest, device_attest=made.attest, device_signature=made.signature)


@refused_with("attestation.secret-wrong")
class ProofOfAnotherSession(DishonestAgent):
    """It replays a whole Proof."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return self.tools.earlier


@refused_with("attestation.certify-other-key")
class StatementOnAnotherKey(DishonestAgent):
    """The statement about the storage key, in place of the one about the device key."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, device_attest=honest.srk_attest, device_signature=honest.srk_signature)


@refused_with("attestation.certify-other-ak")
class StatementByAnotherAk(DishonestAgent):
    """A statement of another genuine TPM, made in this session."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        made = self.tools.other.certify_device_key(after)
        return but(honest, device_attest=made.attest, device_signature=made.signature)


@refused_with("attestation.not-a-certify")
class TimeForAStatement(DishonestAgent):
    """A TPM2_GetTime statement of the AK in this session, which is not about a key."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        (ak,) = self._tpm._loaded(_Key.AK)

        def get_time(esapi: ESAPI) -> tuple[bytes, bytes]:
            attest, signature = esapi.get_time(ak, TPM2B_DATA(after), _NO_SCHEME)
            return bytes(attest.attestationData), bytes(signature.marshal())

        attest, signature = self._tpm._run("tell the time", get_time)
        return but(honest, device_attest=attest, device_signature=signature)


@refused_with("attestation.secret-wrong")
class SecretSolvedByAnotherTpm(DishonestAgent):
    """The keys are in this TPM; the EK and its valid certificate are in another, which tries to help."""

    def claim(self, honest: Identity) -> Identity:
        others = self.tools.other.public_areas()
        return but(honest, ek_public=others.ek, ek_certificate=others.ek_certificate)

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, secret=self._helped(self.tools.other) or honest.secret)

    def _helped(self, helper: Tpm) -> bytes | None:
        """The helper has the EK and loads the AK's public area."""
        ak, _ = TPM2B_PUBLIC.unmarshal(sized(self._tpm.public_areas().ak))
        blob, _ = TPM2B_ID_OBJECT.unmarshal(self.body.credential)
        secret, _ = TPM2B_ENCRYPTED_SECRET.unmarshal(self.body.encrypted_secret)
        (ek,) = helper._loaded(_Key.EK)
        shown = helper._run("load a public key", lambda esapi: esapi.load_external(ak, None, ESYS_TR.NULL))

        def activate(esapi: ESAPI) -> bytes:
            return bytes(esapi.activate_credential(shown, ek, blob, secret, session2=session))

        try:
            with helper._ek_session() as session:
                return helper._run("activate", activate)
        except BirthmarkError as refused:
            log.debug("%s", refused)
            return None
        finally:
            helper._flush(shown)
