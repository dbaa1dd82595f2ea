"""A service account for all tests that call a stand-in of Google's servers."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.oauth2.service_account import Credentials

from tests.kubeflow import google_account
from tests.kubeflow.google_account import ACCOUNT


@pytest.fixture(scope="module")
def keys() -> rsa.RSAPrivateKey:
    return google_account.make_keys()


@pytest.fixture
def key_file(keys: rsa.RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service account's key, found as a user's would be."""
    pem = keys.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    file = tmp_path / "key.json"
    account = {"type": "service_account", "client_email": ACCOUNT, "private_key": pem, "private_key_id": "1"}
    file.write_text(json.dumps(account | {"project_id": "other", "token_uri": "http://127.0.0.1:9/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # Else google-auth asks Google, in the background, in which regions the account may be used.
    monkeypatch.setattr(Credentials, "_is_regional_endpoint", lambda *_: True)
    return file


@pytest.fixture
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any of Google's credentials, and not one of Google's."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
