"""One version of a model in memory: the SavedModel's graph in a session, as ModelServer runs it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from atelier.files.plain_path import provide_plain_path
from serving.server import status

_INIT = "__saved_model_init_op"


class LoadedModel:
    """A loaded SavedModel; several threads may call `run` at a time."""

    def __init__(self, directory: Path) -> None:
        """Loads the graph tagged `serve` and its variables.

        Raises:
          StatusError: the folder holds no SavedModel that can be loaded.
        """
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=_build_session_config())
        try:
            with provide_plain_path(directory) as path, self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], path)
            self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = {
                name: signature for name, signature in meta_graph.signature_def.items() if name != _INIT
            }
            self._calls = {name: self._build_call(signature) for name, signature in self.signatures.items()}
        except Exception as error:
            self.close()
            if isinstance(error, tf.errors.OpError):
                raise status.from_number(error.error_code, error.message) from None
            if isinstance(error, (OSError, RuntimeError, ValueError)):
                raise status.from_number(tf.errors.NOT_FOUND, str(error)) from None
            raise

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers one batch.

        Args:
          signature: one of `signatures`.
          inputs: by the names of the signature, all of them; types and shapes as it says.

        Returns:
          Every output of the signature, by name.

        Raises:
          StatusError: the graph rejects the input, for example an image that cannot be decoded.
        """
        call, feeds, fetches = self._calls[signature]
        try:
            return dict(zip(fetches, call(*(inputs[name] for name in feeds)), strict=True))
        except tf.errors.OpError as error:
            raise status.from_number(error.error_code, _find_reason(error.message)) from None
        except UnicodeDecodeError as error:
            # TensorFlow's message quotes the request's own bytes, of which Python's binding makes this.
            raise status.build_invalid_error(_find_reason(error.object.decode("utf-8", "backslashreplace"))) from None

    def close(self) -> None:
        """Gives the memory of the variables and of the graph back; nothing may be running any more."""
        self._session.close()
        self._calls = {}
        self.signatures = {}

    def _build_call(self, signature: meta_graph_pb2.SignatureDef) -> tuple:
        """Returns the compiled call, and the names of its inputs and outputs in their order."""
        feeds, fetches = sorted(signature.inputs), sorted(signature.outputs)
        call = self._session.make_callable(
            [signature.outputs[name].name for name in fetches], [signature.inputs[name].name for name in feeds]
        )
        return call, feeds, fetches


def _build_session_config() -> config_pb2.ConfigProto:
    """Builds the options of a session that optimizes each signature's graph once, and computes no constants ahead.

    TensorFlow's second pass and its constant folding take a third of the time in which a model gets ready, and save no
    measurable time of a request: almost all of the graph decodes images, of which one branch is executed.
    """
    rewrites = RewriterConfig(
        meta_optimizer_iterations=RewriterConfig.ONE,
        constant_folding=RewriterConfig.OFF,
    )
    return config_pb2.ConfigProto(graph_options=config_pb2.GraphOptions(rewrite_options=rewrites))


def _find_reason(message: str) -> str:
    """Returns the line of TensorFlow's that says what is wrong; around it are headings, the op's name and origin."""
    lines = [line.strip() for line in message.splitlines()]
    return next((line for line in lines if line and line != "Graph execution error:"), message)
