"""A server on loopback whose stylizer answers with what it was asked for, as JSON in place of an image."""

import json

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

from tests.serving.fake_model_server import Code, FakeModelServer, serving

__all__ = ["FakeStylizer", "serving"]


class FakeStylizer(FakeModelServer):
    """Serves `stylizer`, and the classifier `default`.

    Attributes:
      styles: of each version.
      images: those that were sent to it.
      told: what it says about itself, if not the styles.
      output: name of the output.
      pushing: each request for an image meets a newer version, whose styles are in the other order.
    """

    def __init__(self):
        super().__init__()
        self.styles = {1: ["mosaic", "swirls"], 2: ["mosaic", "swirls"]}
        self.images, self.told, self.output = [], None, "stylized_bytes"
        self.pushing = False

    def signatures_asked(self):
        return [request.model_spec.signature_name for request in self.requests("Predict")]

    def Predict(self, request, context):  # noqa: N802
        if request.model_spec.name != "stylizer":
            return super().Predict(request, context)
        if self.pushing and request.model_spec.signature_name == "serving_bytes":
            newest = max(self.versions)
            self.versions.append(newest + 1)
            self.styles[newest + 1] = self.styles[newest][::-1]
        spec = self._begin("Predict", request, context)
        styles = self.styles[spec.version.value]
        response = predict_pb2.PredictResponse(model_spec=spec)
        if spec.signature_name == "stylization":
            told = self.told or json.dumps({"styles": styles, "max_pixels": 10_000, "jpeg_quality": 95})
            self._fill(response.outputs["stylization"], types_pb2.DT_STRING, np.array([told.encode()], object))
            return response
        assert spec.signature_name == "serving_bytes"
        weights, strength = request.inputs["style_weights"], request.inputs["strength"]
        if [dimension.size for dimension in weights.tensor_shape.dim] != [1, len(styles)]:
            context.abort(Code.INVALID_ARGUMENT, "input style_weights: its shape is another one")
        self.images += request.inputs["image_bytes"].string_val
        chosen = {style: weight for style, weight in zip(styles, weights.float_val, strict=True) if weight}
        answer = {"version": spec.version.value, "weights": chosen, "strength": strength.float_val[0]}
        self._fill(response.outputs[self.output], types_pb2.DT_STRING, np.array([json.dumps(answer).encode()], object))
        return response

    def _find(self, spec, context):
        if spec.name != "stylizer":
            return super()._find(spec, context)
        named = type(spec)()
        named.CopyFrom(spec)
        named.name = "default"
        found = super()._find(named, context)
        found.name = "stylizer"
        return found
