"""Writes the trained classifier: a SavedModel with its signatures, warm-up requests, and a `.keras` file.

The signatures are those of `trainer.signatures`.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_serving.apis import classification_pb2, model_pb2, predict_pb2, prediction_log_pb2

from atelier import labels
from atelier.layout import ASSETS_EXTRA, PREPROCESSING_FILE, PROVENANCE_FILE, WARMUP_FILE
from atelier.preprocessing import Preprocessing
from trainer.features import DECODER
from trainer.signatures import SIGNATURES, Parts, Sample, Signature

KERAS_FILE = "model.keras"
"""Beside the SavedModel's folder: the same weights for Keras, with stock layers only."""


def export(
    model: keras.Model,
    directory: Path,
    *,
    class_names: Sequence[str],
    transform_output: tft.TFTransformOutput,
    image_key: str,
    preprocessing: Preprocessing,
    sample: tf.Tensor,
    provenance: Mapping[str, Any],
) -> None:
    """Exports `model`, which must be float32.

    Args:
      model: [N, size, size, 3] float32 RGB 0..255 -> [N, classes] probabilities.
      directory: of the SavedModel; the `.keras` file is written to its parent.
      class_names: by class id.
      transform_output: Transform's graph, behind `transform_features`.
      image_key: name of the encoded image in the raw tf.Examples.
      preprocessing: how an image becomes the model's input; written beside the model, and told by a signature.
      sample: [1, size, size, 3] pixels of one training image, for the warm-up requests.
      provenance: written beside the model as it is.
    """
    served = ServedClassifier(model, class_names, transform_output, image_key, preprocessing)
    signatures = {name: getattr(served, name) for name in SIGNATURES}
    tf.saved_model.save(served, str(directory), signatures=signatures)
    _mark_for_classify(directory)
    extra = directory / ASSETS_EXTRA
    extra.mkdir()
    labels.write_labels(extra, class_names)
    (extra / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=1, sort_keys=True), encoding="utf-8")
    (extra / PREPROCESSING_FILE).write_text(preprocessing.to_json(), encoding="utf-8")
    _write_warmup(extra / WARMUP_FILE, tf.cast(sample[0], tf.uint8), image_key)
    model.save(directory.parent / KERAS_FILE)


class ServedClassifier(tf.Module):
    """What the SavedModel holds. The code that Transform traces preprocesses the images."""

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str],
        transform_output: tft.TFTransformOutput,
        image_key: str,
        preprocessing: Preprocessing,
    ) -> None:
        """Traces the signatures; the arguments are those of `export`."""
        super().__init__(name="served_classifier")
        # The variables alone, not the model: its thousands of Python objects would go into the SavedModel, too.
        self.model_variables = [weight.value for weight in model.weights]
        # Tracked, so that Transform's tables and assets become part of the SavedModel. A `TransformFeaturesLayer` would
        # do that too, but is traced once more by the saving.
        self.transform = tf.saved_model.load(transform_output.transform_savedmodel_dir)
        parts = Parts(
            model=model,
            network=_trace_network(model, preprocessing.size),
            class_names=tf.constant(class_names, tf.string),
            decode=getattr(self.transform, DECODER).decode,
            transform=lambda features: self.transform.transform_fn(*tf.nest.flatten(features, expand_composites=True)),
            transform_spec=_add_defaults(transform_output.raw_feature_spec(), image_key),
            image_key=image_key,
            preprocessing=preprocessing,
        )
        for name, signature in SIGNATURES.items():
            parts.signatures[name] = _trace(parts, signature)
            setattr(self, name, parts.signatures[name])


def _trace_network(model: keras.Model, size: int) -> Any:
    """Returns the network as a function of its own, so that signatures that use it do not each store it."""
    network = keras.Model(model.input, [model.layers[-1].input, model.output])

    def compute(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(pixels)[0]
        # An empty batch gets one black image: with oneDNN's kernels for AVX-512, TensorFlow 2.21 fails on none.
        filled = tf.pad(pixels, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
        features, probabilities = network(tf.cast(filled, tf.float32), training=False)
        return features[:count], probabilities[:count]

    spec = tf.TensorSpec([None, size, size, 3], tf.uint8, name="pixels")
    return tf.function(compute, input_signature=[spec], autograph=False)


def _trace(parts: Parts, signature: Signature) -> Any:
    spec = tf.TensorSpec(signature.shape(parts), signature.dtype, name=signature.input_name)
    # Without AutoGraph: no Python branch here depends on a tensor, and looking for one takes a third of the export.
    return tf.function(functools.partial(signature.compute, parts), input_signature=[spec], autograph=False)


def _mark_for_classify(directory: Path) -> None:
    """TensorFlow saves every signature as one for Predict; a server that checks wants Classify's named as such."""
    constants = tf.compat.v1.saved_model.signature_constants
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    for name, signature in SIGNATURES.items():
        if signature.method == "classify":
            updater.replace_method_name(name, constants.CLASSIFY_METHOD_NAME, tags=tf.saved_model.SERVING)
    updater.save()


def _add_defaults(spec: Mapping[str, Any], image_key: str) -> dict[str, Any]:
    """Lets a request leave out everything but the image: who asks for a label does not send one."""

    def add_default(feature: Any) -> Any:
        if not isinstance(feature, tf.io.FixedLenFeature):
            return feature
        zero = tf.zeros(feature.shape, feature.dtype) if feature.dtype != tf.string else tf.fill(feature.shape, "")
        return tf.io.FixedLenFeature(feature.shape, feature.dtype, zero)

    return {key: feature if key == image_key else add_default(feature) for key, feature in spec.items()}


def _write_warmup(path: Path, pixels: tf.Tensor, image_key: str) -> None:
    """One real request for each signature, in the format that TF Serving and our server replay.

    https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    jpeg = tf.io.encode_jpeg(pixels, quality=95).numpy()
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg]))
    example = tf.train.Example(features=tf.train.Features(feature={image_key: feature})).SerializeToString()
    sample = Sample(pixels.numpy(), jpeg, example)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in SIGNATURES.items():
            writer.write(_build_request(name, signature, sample).SerializeToString())


def _build_request(name: str, signature: Signature, sample: Sample) -> prediction_log_pb2.PredictionLog:
    spec = model_pb2.ModelSpec(signature_name=name)
    value = signature.warm_up(sample)
    if signature.method == "classify":
        classify = classification_pb2.ClassificationRequest(model_spec=spec)
        classify.input.example_list.examples.add().MergeFromString(value)
        return prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog(request=classify))
    predict = predict_pb2.PredictRequest(model_spec=spec)
    predict.inputs[signature.input_name].CopyFrom(tf.make_tensor_proto(value))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=predict))
