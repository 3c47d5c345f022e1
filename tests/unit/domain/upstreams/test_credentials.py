"""Signatures towards external APIs, against published examples."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from spork.domain.security.ssrf import may_connect
from spork.domain.upstreams.credentials import AwsCredential, HmacCredential, basic, sign_aws, sign_hmac

#: The keys of AWS's own examples.
ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()


def authorization(fields: list[tuple[bytes, bytes]]) -> str:
    return dict(fields)[b"authorization"].decode()


def test_the_example_of_aws_documentation() -> None:
    """`GET ListUsers` of IAM: the example of "Signature Version 4 signing process"."""
    headers = [
        (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"),
        (b"host", b"iam.amazonaws.com"),
        (b"user-agent", b"not signed"),
    ]
    credential = AwsCredential(ACCESS, SECRET, "us-east-1", "iam")
    fields = sign_aws(credential, "GET", b"/?Action=ListUsers&Version=2010-05-08", headers, b"", AT)
    assert authorization(fields) == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
    assert dict(fields)[b"x-amz-date"] == b"20150830T123600Z"


@pytest.mark.parametrize(
    ("target", "body", "signature"),
    [
        # aws-sig-v4-test-suite: get-vanilla, get-vanilla-query-order-key-case, post-vanilla
        (b"/", None, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (b"/?Param2=value2&Param1=value1", None, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        (b"/", b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
)
def test_the_suite_of_aws(target: bytes, body: bytes | None, signature: str) -> None:
    credential = AwsCredential(ACCESS, SECRET, "us-east-1", "service")
    method = "GET" if body is None else "POST"
    fields = sign_aws(credential, method, target, [(b"host", b"example.amazonaws.com")], b"", AT)
    assert authorization(fields).endswith("Signature=" + signature)


def test_s3_signs_its_payload_or_says_that_it_does_not() -> None:
    credential = AwsCredential(ACCESS, SECRET, "eu-west-1", "s3", "a token")
    whole = dict(sign_aws(credential, "PUT", b"/k", [(b"host", b"h")], b"data", AT))
    assert whole[b"x-amz-content-sha256"] == hashlib.sha256(b"data").hexdigest().encode()
    assert whole[b"x-amz-security-token"] == b"a token"
    assert b"x-amz-security-token" in whole[b"authorization"]
    assert dict(sign_aws(credential, "PUT", b"/k", [(b"host", b"h")], None, AT))[b"x-amz-content-sha256"] == (
        b"UNSIGNED-PAYLOAD"
    )


def test_an_hmac_is_over_its_lines() -> None:
    credential = HmacCredential(
        "s", over=("method", "target", "host", "date", "header:X-Id", "body_sha256"), prefix="v1="
    )
    headers = [(b"host", b"api.example.com"), (b"x-id", b"7")]
    fields = dict(sign_hmac(credential, "POST", b"/a?b=c", headers, b"body", 1_800_000_000.0))
    lines = f"POST\n/a?b=c\napi.example.com\n1800000000\n7\n{hashlib.sha256(b'body').hexdigest()}"
    assert fields[b"x-signature"] == b"v1=" + hmac.new(b"s", lines.encode(), "sha256").hexdigest().encode()
    assert fields[b"x-timestamp"] == b"1800000000"
    plain = dict(sign_hmac(HmacCredential("s", over=("body",), encoding="base64"), "POST", b"/", [], b"x", 0.0))
    assert list(plain) == [b"x-signature"]


def test_secrets_are_not_shown() -> None:
    assert "wJalr" not in repr(AwsCredential(ACCESS, SECRET))
    assert basic("Aladdin", "open sesame") == b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617 section 2


@pytest.mark.parametrize(
    ("address", "allow", "may"),
    [
        ("93.184.216.34", ("public",), True),
        ("127.0.0.1", ("public",), False),
        ("10.1.2.3", ("public",), False),
        ("169.254.169.254", ("public",), False),
        ("::1", ("public",), False),
        ("::ffff:10.0.0.1", ("public",), False),
        ("fd00::1", ("public",), False),
        ("10.1.2.3", ("public", "10.0.0.0/8"), True),
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("93.184.216.34", ("10.0.0.0/8",), False),
        ("not an address", ("public",), False),
    ],
)
def test_where_an_upstream_may_lead(address: str, allow: tuple[str, ...], may: bool) -> None:
    assert may_connect(address, allow) is may
