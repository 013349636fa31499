import stat
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from devcluster.certificates import Authority, Pair, signing_key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "pki", "cluster")
    made.create()
    return made


def _load(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_a_certificate_names_its_user_and_groups_and_is_signed_by_its_authority(
    authority: Authority,
) -> None:
    certificate = _load(authority.issue("kubelet", "system:node:a", ["system:nodes"]))
    certificate.verify_directly_issued_by(_load(authority.pair))
    subject = certificate.subject
    users = [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    assert (users, groups) == (["system:node:a"], ["system:nodes"])


def test_only_a_certificate_with_addresses_may_serve(authority: Authority) -> None:
    client = _load(authority.issue("client", "client"))
    server = _load(authority.issue("server", "server", addresses=["198.18.0.1", "localhost"]))
    usage = x509.ExtendedKeyUsage
    assert (
        ExtendedKeyUsageOID.SERVER_AUTH
        not in client.extensions.get_extension_for_class(usage).value
    )
    assert ExtendedKeyUsageOID.SERVER_AUTH in server.extensions.get_extension_for_class(usage).value
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("198.18.0.1")]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_what_exists_is_kept(authority: Authority) -> None:
    before = authority.issue("admin", "admin").certificate.read_bytes()
    authority.create()
    assert authority.issue("admin", "admin").certificate.read_bytes() == before


def test_a_key_without_its_certificate_is_made_anew(authority: Authority) -> None:
    pair = authority.issue("admin", "admin")
    pair.certificate.unlink()  # as after a kill between the two files
    _load(authority.issue("admin", "admin")).verify_directly_issued_by(_load(authority.pair))


def test_private_keys_are_for_their_owner_only(authority: Authority) -> None:
    keys = [
        authority.pair.key,
        authority.issue("a", "a").key,
        signing_key(authority.folder, "t").key,
    ]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
