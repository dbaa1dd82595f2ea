"""Writes the trained classifier: a SavedModel with its signatures, warm-up requests, and a `.keras` file.

The signatures are those that the serving side documents: `serving_default` ([N] serialized
tf.Example), `serving_bytes` ([N] encoded images), `serving_pixels` ([N, size, size, 3] uint8 RGB),
`transform_features` (what Transform gives), and `classify`, which TF Serving's Classify call asks for: every class of
every image by name; and `preprocessing`, which tells a client how to prepare images.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_serving.apis import classification_pb2, model_pb2, predict_pb2, prediction_log_pb2

from atelier import labels
from atelier.layout import ASSETS_EXTRA, PREPROCESSING_FILE
from atelier.preprocessing import PREPROCESSING, PREPROCESSING_SIGNATURE, QUERIES, Preprocessing
from trainer.images import ops

KERAS_FILE = "model.keras"
"""Beside the SavedModel's folder: the same weights for Keras, with stock layers only."""
PROVENANCE_FILE = "provenance.json"
"""In the SavedModel's `assets.extra/`: what the model was made from."""
WARMUP_FILE = "tf_serving_warmup_requests"
"""TF Serving's name for requests that it replays before a version takes traffic."""


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
    _mark_as_classification(directory)
    extra = directory / ASSETS_EXTRA
    extra.mkdir()
    labels.write_labels(extra, class_names)
    (extra / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=1, sort_keys=True), encoding="utf-8")
    (extra / PREPROCESSING_FILE).write_text(preprocessing.to_json(), encoding="utf-8")
    _write_warmup(extra / WARMUP_FILE, tf.cast(sample[0], tf.uint8), image_key)
    model.save(directory.parent / KERAS_FILE)


CLASSIFY = "classify"
"""Its input and outputs bear the names that TF Serving's Classify call looks for."""
SIGNATURES = (
    "serving_default",
    "serving_bytes",
    "serving_pixels",
    "transform_features",
    CLASSIFY,
    PREPROCESSING_SIGNATURE,
)


class ServedClassifier(tf.Module):
    """What the SavedModel holds. Images are preprocessed by the very code that Transform traces."""

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
        size, resize = preprocessing.size, preprocessing.resize
        # The variables alone, not the model: its thousands of Python objects would go into the SavedModel, too.
        self.model_variables = [weight.value for weight in model.weights]
        # Tracked, so that Transform's tables and assets become part of the SavedModel.
        self.transform_layer = transform_output.transform_features_layer()
        names = tf.constant(class_names, tf.string)
        transform_spec = _with_defaults(transform_output.raw_feature_spec(), image_key)

        # Each calls the one before it, so that the model is traced and stored once.
        @_signature("pixels", tf.uint8, [None, size, size, 3])
        def serving_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            count = tf.shape(pixels)[0]
            # An empty batch gets one black image: with oneDNN's kernels for AVX-512, TensorFlow 2.21 fails on none.
            filled = tf.pad(pixels, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
            probabilities = model(tf.cast(filled, tf.float32), training=False)[:count]
            class_id = tf.argmax(probabilities, axis=-1, output_type=tf.int64)
            return {"probabilities": probabilities, "class_id": class_id, "label": tf.gather(names, class_id)}

        @_signature("image_bytes", tf.string, [None])
        def serving_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            return serving_pixels(ops.decode_and_resize(image_bytes, size, resize))

        @_signature("examples", tf.string, [None])
        def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            image = {image_key: tf.io.FixedLenFeature([], tf.string)}
            return serving_bytes(tf.io.parse_example(examples, image)[image_key])

        @_signature("examples", tf.string, [None])
        def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.transform_layer(tf.io.parse_example(examples, transform_spec))

        @_signature("inputs", tf.string, [None])
        def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            scores = serving_default(inputs)["probabilities"]
            return {"scores": scores, "classes": tf.tile(names[tf.newaxis], [tf.shape(scores)[0], 1])}

        @_signature(QUERIES, tf.string, [None])
        def tell_preprocessing(queries: tf.Tensor) -> dict[str, tf.Tensor]:
            # One row for each query, as a server that batches requests expects of every output.
            return {PREPROCESSING: tf.fill(tf.shape(queries), preprocessing.to_json())}

        self.preprocessing = tell_preprocessing
        self.classify = classify
        self.serving_default, self.serving_bytes = serving_default, serving_bytes
        self.serving_pixels, self.transform_features = serving_pixels, transform_features


def _signature(name: str, dtype: tf.DType, shape: Sequence[int | None]) -> Any:
    # Without AutoGraph: no Python branch here depends on a tensor, and looking for one takes a third of the export.
    return tf.function(input_signature=[tf.TensorSpec(shape, dtype, name=name)], autograph=False)


def _mark_as_classification(directory: Path) -> None:
    """TensorFlow saves every signature as one for Predict; a server that checks wants Classify's named as such."""
    constants = tf.compat.v1.saved_model.signature_constants
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    updater.replace_method_name(CLASSIFY, constants.CLASSIFY_METHOD_NAME, tags=tf.saved_model.SERVING)
    updater.save()


def _with_defaults(spec: Mapping[str, Any], image_key: str) -> dict[str, Any]:
    """Lets a request leave out everything but the image: who asks for a label does not send one."""

    def optional(feature: Any) -> Any:
        if not isinstance(feature, tf.io.FixedLenFeature):
            return feature
        zero = tf.zeros(feature.shape, feature.dtype) if feature.dtype != tf.string else tf.fill(feature.shape, "")
        return tf.io.FixedLenFeature(feature.shape, feature.dtype, zero)

    return {key: feature if key == image_key else optional(feature) for key, feature in spec.items()}


def _write_warmup(path: Path, pixels: tf.Tensor, image_key: str) -> None:
    """One real request for each signature, in the format that TF Serving and our server replay.

    https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    jpeg = tf.io.encode_jpeg(pixels, quality=95).numpy()
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg]))
    example = tf.train.Example(features=tf.train.Features(feature={image_key: feature})).SerializeToString()
    requests = {
        "serving_default": {"examples": [example]},
        "serving_bytes": {"image_bytes": [jpeg]},
        "serving_pixels": {"pixels": pixels[tf.newaxis].numpy()},
        "transform_features": {"examples": [example]},
        PREPROCESSING_SIGNATURE: {QUERIES: [b""]},
    }
    logs = []
    for signature, inputs in requests.items():
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(signature_name=signature))
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        logs.append(prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request)))
    classify = classification_pb2.ClassificationRequest(model_spec=model_pb2.ModelSpec(signature_name=CLASSIFY))
    classify.input.example_list.examples.add().MergeFromString(example)
    logs.append(prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog(request=classify)))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
