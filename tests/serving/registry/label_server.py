"""A gRPC server on loopback that keeps versions and labels by ModelServer's rules, without models and TensorFlow."""

import contextlib
from concurrent import futures

import grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.client import protos

AVAILABLE, END = 30, 50


class LabelServer:
    """Serves `default`.

    Attributes:
      versions: states of the versions that it has loaded, by number.
      labels: of these.
      unloadable: versions that cannot be loaded.
      rejects: what the next reloads are rejected with, one by one; None: that one is not.
      reloads: (versions, labels) of each accepted configuration.
    """

    def __init__(self, *loaded, **labels):
        self.versions, self.labels = dict.fromkeys(loaded, AVAILABLE), labels
        self.unloadable, self.rejects, self.reloads = set(), [], []

    def GetModelStatus(self, request, context):  # noqa: N802
        response = protos.GetModelStatusResponse()
        for number, state in self.versions.items():
            entry = response.model_version_status.add(version=number, state=state)
            entry.status.error_message = "its graph is damaged" if state == END and number in self.unloadable else ""
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        label = request.model_spec.version_label
        if label not in self.labels:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        response = protos.GetModelMetadataResponse()
        response.model_spec.version.value = self.labels[label]
        return response

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        if self.rejects and (reason := self.rejects.pop(0)):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, reason)
        config = model_server_config_pb2.ModelServerConfig.FromString(request.config)
        (model,) = config.model_config_list.config
        wanted, labels = list(model.model_version_policy.specific.versions), dict(model.version_labels)
        for label, number in labels.items():
            if self.versions.get(number) != AVAILABLE:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"Request to assign {label} to version {number}")
        if wanted:
            self.versions = {number: END if number in self.unloadable else AVAILABLE for number in wanted}
        self.labels = labels
        self.reloads.append((sorted(wanted), labels))
        return protos.ReloadConfigResponse()

    @contextlib.contextmanager
    def serving(self, port=0):
        """Runs it and gives the target."""
        calls = {
            "GetModelStatus": (protos.MODEL_SERVICE, protos.GetModelStatusRequest),
            "HandleReloadConfigRequest": (protos.MODEL_SERVICE, protos.ReloadConfigRequest),
            "GetModelMetadata": (protos.PREDICTION_SERVICE, protos.GetModelMetadataRequest),
        }
        server = grpc.server(futures.ThreadPoolExecutor(4))
        for name, (service, request) in calls.items():
            handler = grpc.unary_unary_rpc_method_handler(
                getattr(self, name), request.FromString, lambda response: response.SerializeToString()
            )
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield f"127.0.0.1:{bound}"
        finally:
            server.stop(None).wait()
