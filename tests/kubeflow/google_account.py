"""A service account of Google, and how a stand-in of Google's servers knows it."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from tests.kubeflow import loopback

ACCOUNT = "me@my-project.iam.gserviceaccount.com"


def make_keys() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def encode_public_key(keys: rsa.RSAPrivateKey) -> bytes:
    return keys.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def reject_stranger(request: loopback.Request, public_key: bytes) -> tuple[int, object] | None:
    """The answer to a request whose token is not of the account; None: it is."""
    try:
        claims = jwt.decode(request.headers.get("authorization", "").removeprefix("Bearer "), public_key)
    except ValueError as error:
        return build_error(401, "UNAUTHENTICATED", str(error))
    if claims["iss"] != ACCOUNT or claims["scope"] != "https://www.googleapis.com/auth/cloud-platform":
        return build_error(401, "UNAUTHENTICATED", f"wrong claims: {claims}")
    return None


def build_error(code: int, status: str, message: str) -> tuple[int, object]:
    return code, {"error": {"code": code, "message": message, "status": status}}
