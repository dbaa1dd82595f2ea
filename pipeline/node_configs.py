"""What the nodes of the DAG are told, from the configuration."""

from typing import Any

from tensorflow_model_analysis.proto import config_pb2
from tfx.proto import example_gen_pb2, pusher_pb2

from atelier.layout import SPLITS
from atelier.preprocessing import Preprocessing
from components.evaluator import gates
from pipeline.config.config import Config
from pipeline.config.sections.tflite import TFLite
from pipeline.fingerprint import fingerprint_code
from pipeline.run_inputs import DataFacts, Places


def build_split_configs(config: Config, data: DataFacts) -> dict[str, object]:
    """Returns ImportExampleGen's input and, where there is only one pattern, its hash split."""
    input_config = example_gen_pb2.Input(
        splits=[example_gen_pb2.Input.Split(name=name, pattern=pattern) for name, pattern in data.splits.items()]
    )
    if len(data.splits) > 1:
        return {"input_config": input_config}
    buckets = zip(SPLITS, config.data.split_buckets, strict=True)
    output = example_gen_pb2.SplitConfig(
        splits=[example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=count) for name, count in buckets]
    )
    return {"input_config": input_config, "output_config": example_gen_pb2.Output(split_config=output)}


def build_transform_config(config: Config, data: DataFacts) -> dict[str, Any]:
    """Returns the values of `trainer.settings.TransformConfig`, and the fingerprints of the code."""
    return {
        "image_key": config.data.image_key,
        "label_key": config.data.label_key,
        **config.image.model_dump(mode="json"),
        "augmentation": config.augmentation.model_dump(mode="json"),
        # Where labels are ids, new names are no reason to transform again.
        **({"class_names": list(data.class_names)} if data.text_labels and data.class_names else {}),
        "code": [fingerprint_code("components.transform.component"), fingerprint_code("trainer.preprocessing")],
    }


def build_tuner_config(config: Config, places: Places, data: DataFacts) -> dict[str, Any]:
    """Returns the values of `trainer.settings.TunerConfig`, and the fingerprint of the code."""
    return {
        **_build_training_config(config, places, data),
        "tuner": config.tuner.model_dump(mode="json"),
        "code": fingerprint_code("trainer.tuner"),
    }


def build_trainer_config(config: Config, places: Places, data: DataFacts) -> dict[str, Any]:
    """Returns the values of `trainer.settings.TrainerConfig`; the fingerprint of the code is in the provenance."""
    preprocessing = Preprocessing(
        **config.image.model_dump(), store_size=data.store_size, max_pixels=config.ingest.max_pixels
    )
    return {
        **_build_training_config(config, places, data),
        "preprocessing": preprocessing.model_dump(),
        "provenance": collect_provenance(config, data.fingerprint),
    }


def collect_provenance(config: Config, data_fingerprint: str) -> dict[str, str]:
    """Returns what tells two trainings apart: their configuration, code and data."""
    return {
        "config": config.model_dump_json(include={"data", "image", "augmentation", "trainer", "tuner"}),
        "code": fingerprint_code("trainer.train"),
        "data": data_fingerprint,
    }


def build_saved_model_gate(config: Config, data: DataFacts) -> config_pb2.EvalConfig:
    """Returns what the Evaluator measures."""
    return gates.build_saved_model_gate(
        min_accuracy=config.evaluator.min_accuracy,
        max_accuracy_drop=config.evaluator.max_accuracy_drop,
        min_slice_accuracy=config.evaluator.min_slice_accuracy,
        top_k=config.evaluator.top_k,
        slices=config.evaluator.slices,
        label_key=config.data.label_key,
        text_labels=data.text_labels,
        class_count=data.class_count,
    )


def build_tflite_gate(settings: TFLite, variant: str) -> config_pb2.EvalConfig:
    """Returns what the Evaluator of a TFLite variant measures."""
    return gates.build_tflite_gate(
        variant,
        max_accuracy_drop=settings.max_accuracy_drop,
        max_slice_accuracy_drop=settings.max_slice_accuracy_drop,
        max_disagreement=settings.max_disagreement,
        agreement_code=fingerprint_code(gates.AGREEMENT_MODULE),
    )


def build_push_destination(path: str) -> pusher_pb2.PushDestination:
    """Returns a Pusher's destination: a folder of versions."""
    return pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=path))


def _build_training_config(config: Config, places: Places, data: DataFacts) -> dict[str, Any]:
    sections = config.model_dump(mode="json", include={"data", "image", "augmentation", "trainer"})
    class_names = {"class_names": list(data.class_names)} if data.class_names else {}
    return {**sections, "state_dir": places.state_directory, **class_names}
