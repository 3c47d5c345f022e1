"""TLS at the edge: the versions and protocol offered, client certificates, and certificates that change."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from spork.adapters.edge.certificates import server_context
from spork.application.configuration.model import EdgeLimits, ListenerTls
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.domain.http.head import RequestHead
from tests.contract.upstream_transport.certificates import SIGNS
from tests.edges import Client, Recorder, Serving, serving, until

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Authority:
    """A certificate authority of the test's own; files land in `directory`."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, directory: Path, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, subject, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(SIGNS, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory, key, certificate)

    def issue(self, file: str, subject: x509.Name, names: list[x509.GeneralName]) -> tuple[str, str]:
        """Paths of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(subject, self.certificate.subject, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        cert_path, key_path = self.directory / f"{file}.crt", self.directory / f"{file}.key"
        cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(cert_path), str(key_path)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture(scope="module")
def server_pair(ours: Authority) -> tuple[str, str]:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    return ours.issue("server", subject, [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])


@pytest.fixture(scope="module")
def client_pair(ours: Authority) -> tuple[str, str]:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "billing, eu"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Spork")]
    )
    names = [x509.DNSName("billing.internal"), x509.UniformResourceIdentifier("spiffe://spork/billing")]
    return ours.issue("client", subject, names)


def trusting(ours: Authority, pair: tuple[str, str] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ours.directory / "ours.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if pair is not None:
        context.load_cert_chain(*pair)
    return context


async def connect(served: Serving, context: ssl.SSLContext) -> Client:
    return await served.client(ssl=context, server_hostname="localhost")


async def test_https(ours: Authority, server_pair: tuple[str, str]) -> None:
    async with serving(tls=ListenerTls(*server_pair)) as served:
        client = await connect(served, trusting(ours))
        session = client.writer.get_extra_info("ssl_object")
        assert session.selected_alpn_protocol() == "http/1.1"
        for number in (b"1", b"2"):
            await client.send(GET)
            assert (await client.answer()).body == number
        head = served.gateway.heads[0]
        assert (head.scheme, head.certificate) == ("https", None)


async def test_a_handshake_has_a_deadline(server_pair: tuple[str, str]) -> None:
    async with serving(EdgeLimits(header_timeout=0.3), tls=ListenerTls(*server_pair)) as served:
        silent = await served.client()
        assert await silent.closed()


def test_old_versions_are_not_spoken(server_pair: tuple[str, str]) -> None:
    assert server_context(ListenerTls(*server_pair)).minimum_version is ssl.TLSVersion.TLSv1_2


async def test_the_client_certificate_is_in_the_head(
    ours: Authority, server_pair: tuple[str, str], client_pair: tuple[str, str]
) -> None:
    async with serving(tls=ListenerTls(*server_pair, client_ca=str(ours.directory / "ours.pem"))) as served:
        client = await connect(served, trusting(ours, client_pair))
        await client.send(GET)
        await client.answer()
        facts = served.gateway.heads[0].certificate
        assert facts is not None
        assert facts["subject"] == r"CN=billing\, eu,O=Spork"
        assert (facts["common_name"], facts["issuer"]) == ("billing, eu", "CN=ours")
        assert facts["sans"] == ["DNS:billing.internal", "URI:spiffe://spork/billing"]
        der = x509.load_pem_x509_certificate(Path(client_pair[0]).read_bytes())
        assert facts["fingerprint"] == der.fingerprint(hashes.SHA256()).hex()
        assert int(str(facts["serial"]), 16) == der.serial_number
        without = await connect(served, trusting(ours))
        await without.send(GET)
        assert (await without.answer()).status == 200
        assert served.gateway.heads[1].certificate is None


async def test_certificates_of_others_are_refused(
    ours: Authority, server_pair: tuple[str, str], tmp_path: Path
) -> None:
    theirs = Authority.create(tmp_path, "theirs")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "billing")])
    forged = theirs.issue("forged", subject, [x509.DNSName("billing.internal")])
    for required, pair in ((False, forged), (True, forged), (True, None)):
        tls = ListenerTls(*server_pair, client_ca=str(ours.directory / "ours.pem"), require_client=required)
        async with serving(tls=tls) as served:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                client = await connect(served, trusting(ours, pair))
                await client.send(GET)
                await client.answer()
            assert served.gateway.heads == []


async def test_a_body_too_large_can_be_read_over_tls(ours: Authority, server_pair: tuple[str, str]) -> None:
    async with serving(tls=ListenerTls(*server_pair)) as served:
        client = await connect(served, trusting(ours))
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(20):
            client.writer.write(b"a" * 100_000)
            await client.writer.drain()
        assert (await client.answer()).status == 413


async def test_a_client_that_leaves_cancels_over_tls(ours: Authority, server_pair: tuple[str, str]) -> None:
    async def wait(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        await asyncio.Event().wait()

    async with serving(gateway=Recorder(wait), tls=ListenerTls(*server_pair)) as served:
        client = await connect(served, trusting(ours))
        await client.send(GET)
        await until(lambda: served.gateway.heads)
        client.close()
        await until(lambda: served.gateway.cancelled, "cancellation")


async def test_new_certificates_are_for_new_connections(ours: Authority, tmp_path: Path) -> None:
    def issue(name: str) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        for path, source in zip(paths, ours.issue(name, subject, [x509.DNSName("localhost")]), strict=True):
            Path(path).write_bytes(Path(source).read_bytes())

    def shown(client: Client) -> str:
        certificate = client.writer.get_extra_info("peercert")
        return str(certificate["subject"][0][0][1])

    paths = (str(tmp_path / "live.crt"), str(tmp_path / "live.key"))
    issue("first")
    async with serving(tls=ListenerTls(*paths)) as served:
        old = await connect(served, trusting(ours))
        assert shown(old) == "first"
        issue("second")
        served.server.reload_certificates()
        assert shown(await connect(served, trusting(ours))) == "second"
        Path(paths[1]).write_text("broken")
        with pytest.raises(ssl.SSLError):
            served.server.reload_certificates()
        assert shown(await connect(served, trusting(ours))) == "second"
        await old.send(GET)
        assert (await old.answer()).status == 200
