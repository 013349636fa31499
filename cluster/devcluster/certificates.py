"""Certificate authorities and the certificates they sign.

Promises: what exists is kept, so `up` may be called again; private keys are readable by their
owner only. Elliptic curve P-256 throughout: a key costs no time to make.
"""

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=3650)
_CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates below one folder; what it signed lies beside its own."""

    folder: Path
    name: str

    @property
    def pair(self) -> Pair:
        return Pair(self.folder / f"{self.name}-ca.crt", self.folder / f"{self.name}-ca.key")

    def create(self) -> None:
        """Make the authority's own certificate unless it exists."""
        if _complete(self.pair):
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(f"devcluster {self.name}", ())
        builder = (
            _builder(subject, subject, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs=True), critical=True)
        )
        _write(self.pair, builder.sign(key, hashes.SHA256()), key)

    def issue(
        self,
        file: str,
        user: str,
        groups: Iterable[str] = (),
        addresses: Iterable[str] = (),
    ) -> Pair:
        """A certificate for Kubernetes user `user` in `groups`; with addresses it may serve too.

        Addresses are IP addresses or DNS names. Lies in `file`.crt and `file`.key.
        """
        pair = Pair(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        if _complete(pair):
            return pair
        ca = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        ca_key = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.pair.key} is no elliptic curve key: remove {self.folder}")
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_name(address) for address in addresses]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if names:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = (
            _builder(_subject(user, groups), ca.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        _write(pair, builder.sign(ca_key, hashes.SHA256()), key)
        return pair


def signing_key(folder: Path, name: str) -> Pair:
    """A bare key pair, with which service account tokens are signed and checked.

    The `certificate` of the pair is its public key.
    """
    pair = Pair(folder / f"{name}.pub", folder / f"{name}.key")
    if not _complete(pair):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(pair.key, key)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pair.certificate.write_bytes(public)
    return pair


def _complete(pair: Pair) -> bool:
    # the certificate is written last, so an interrupted run leaves no pair that looks whole
    return pair.certificate.exists() and pair.certificate.stat().st_size > 0 and pair.key.exists()


def _name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _subject(user: str, groups: Iterable[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write_key(pair.key, key)
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
