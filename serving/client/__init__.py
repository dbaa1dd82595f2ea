"""Clients of TensorFlow Serving's gRPC API, and of the local server that speaks it.

    from serving.client import Client, ServedModel

    with Client("localhost:8500", ServedModel("pets")) as client:
        for prediction in client.predict(["cat.jpg", "dog.png"], top=3):
            print(prediction.label, prediction.probability)

`AsyncClient` has the same methods for asyncio. `StylizerClient` asks a stylizer. None of them needs TensorFlow.
"""

from serving.client.async_client import AsyncClient
from serving.client.client import Client
from serving.client.connection import Tls
from serving.client.errors import ServingError
from serving.client.messages import Metadata, ServedModel, Signature, TensorInfo, VersionStatus
from serving.client.predictions import NoPredictionError, Prediction
from serving.client.preparation import AS_IS, Preparation, PreparedImage
from serving.client.stylizer_client import StylizedImage, StylizerClient

__all__ = [
    "AS_IS",
    "AsyncClient",
    "Client",
    "Metadata",
    "NoPredictionError",
    "Prediction",
    "Preparation",
    "PreparedImage",
    "ServedModel",
    "ServingError",
    "Signature",
    "StylizedImage",
    "StylizerClient",
    "TensorInfo",
    "Tls",
    "VersionStatus",
]
