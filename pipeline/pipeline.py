"""The DAG, and nothing else: the same for every runner."""

import json
from collections.abc import Mapping, Sequence

from tfx import v1 as tfx
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.extensions.google_cloud_ai_platform.trainer.component import Trainer as VertexTrainer
from tfx.extensions.google_cloud_ai_platform.tuner.component import Tuner as VertexTuner
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2

from atelier.layout import EVAL, SPLITS, TEST, TRAIN
from atelier.preprocessing import Preprocessing
from components.anomaly_gate.component import AnomalyGate
from components.baseline_model.component import BaselineModel
from components.evaluator.component import Evaluator
from components.pusher.component import Pusher, TFLitePusher
from components.style_catalog import catalog
from components.style_catalog.component import StyleCatalog
from components.style_renderer.component import StyleRenderer
from components.style_renderer.engine.settings import SPLIT
from components.tflite_exporter.component import TFLiteExporter
from components.transform.component import Transform
from pipeline import gates
from pipeline.beam import beam_args
from pipeline.config.config import Config
from pipeline.fingerprint import of_code

PREPROCESSING_FN = "trainer.preprocessing.preprocessing_fn"
RUN_FN = "trainer.train.run_fn"
TUNER_FN = "trainer.tuner.tuner_fn"


def create_pipeline(
    config: Config,
    *,
    pipeline_root: str,
    data_root: str | RuntimeParameter,
    splits: Mapping[str, str],
    schema_file: str | RuntimeParameter,
    text_labels: bool,
    class_count: int | None,
    class_names: Sequence[str] = (),
    store_size: int | None = None,
    serving_directory: str,
    tflite_directory: str,
    baseline_version: str,
    state_directory: str,
    data_fingerprint: str = "",
    style_contents: str = "",
    style_store: str = "",
    train_args: RuntimeParameter | None = None,
    min_accuracy: float | RuntimeParameter | None = None,
    max_accuracy_drop: float | RuntimeParameter | None = None,
    vertex_training: Mapping[str, object] | None = None,
    vertex_tuning: Mapping[str, object] | None = None,
    metadata_connection_config: object | None = None,
    enable_cache: bool = True,
) -> tfx.dsl.Pipeline:
    """Builds the DAG.

    Args:
      config: the whole configuration.
      pipeline_root: where artifacts are written.
      data_root: folder of the TFRecords, which the cache knows by its path and its files' number, bytes and seconds.
      splits: file pattern below `data_root` by split; one entry alone is split by a hash.
      schema_file: the data's schema; "" infers one from the data. The cache knows it by its path.
      text_labels: labels are strings, not ids.
      class_count: None if it is not known before the run.
      class_names: by class id; empty if they are not known before the run: the schema and the data tell them then.
      store_size: longer side in pixels to which the images of the records were scaled down; None: they were not.
      serving_directory: where the SavedModel is pushed to, as `<version>/`.
      tflite_directory: where the TFLite file is pushed to, as `<version>/`.
      baseline_version: what the candidate must beat; see `BaselineModel`.
      state_directory: where a killed training leaves its state, "" to keep none.
      data_fingerprint: identifies the data in the pushed model's provenance.
      style_contents: what `config.style.contents` has come to: `photos`, `split:NAME`, or a folder, which the cache
        knows by its path.
      style_store: where rendered pictures are kept from run to run.
      train_args: a `TrainArgs` as JSON, given when the compiled pipeline is started: `num_steps` limits each phase.
      min_accuracy: what the Evaluator asks for; None: `config.evaluator.min_accuracy`.
      max_accuracy_drop: likewise.
      vertex_training: what makes the Trainer a training job of Vertex AI, in the terms of TFX's extension for it.
      vertex_tuning: likewise for the Tuner, which then searches on `config.tuner.parallel_trials` machines at once.
      metadata_connection_config: of MLMD; None where the orchestrator brings its own.
      enable_cache: nodes whose inputs, parameters and code are unchanged are not run again.
    """
    settings = config.model_dump(mode="json")

    example_gen = tfx.components.ImportExampleGen(input_base=data_root, **_split_configs(splits, config))
    statistics_gen = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])
    if schema_file:
        schema_gen: BaseComponent = tfx.components.ImportSchemaGen(schema_file=schema_file)
    else:
        schema_gen = tfx.components.SchemaGen(statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True)
    schema = schema_gen.outputs["schema"]
    example_validator = tfx.components.ExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema)
    anomaly_gate = AnomalyGate(
        anomalies=example_validator.outputs["anomalies"], code=of_code("components.anomaly_gate.component")
    )
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema,
        preprocessing_fn=PREPROCESSING_FN,
        custom_config={
            "image_key": config.data.image_key,
            "label_key": config.data.label_key,
            **settings["image"],
            "augmentation": settings["augmentation"],
            # Where labels are ids, new names are no reason to transform anew.
            **({"class_names": list(class_names)} if text_labels and class_names else {}),
            "code": [of_code("components.transform.component"), of_code("trainer.preprocessing")],
        },
    )
    transform.add_upstream_node(anomaly_gate)
    training = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema,
        "train_args": train_args or tfx.proto.TrainArgs(splits=[TRAIN]),
        "eval_args": tfx.proto.EvalArgs(splits=[EVAL]),
    }
    custom_config = {key: settings[key] for key in ("data", "image", "augmentation", "trainer")}
    custom_config["state_dir"] = state_directory
    if class_names:
        custom_config["class_names"] = list(class_names)
    tuner: list[BaseComponent] = []
    if config.tuner.enabled:
        tuner_class, tune_args = tfx.components.Tuner, None
        if vertex_tuning:
            tuner_class = VertexTuner
            tune_args = tfx.proto.TuneArgs(num_parallel_trials=config.tuner.parallel_trials)
        tuner = [
            tuner_class(
                tuner_fn=TUNER_FN,
                tune_args=tune_args,
                custom_config={
                    **custom_config,
                    "tuner": settings["tuner"],
                    "code": of_code("trainer.tuner"),
                    **(vertex_tuning or {}),
                },
                **training,
            )
        ]
    trainer_class = VertexTrainer if vertex_training else tfx.components.Trainer
    trainer = trainer_class(
        run_fn=RUN_FN,
        hyperparameters=tuner[0].outputs["best_hyperparameters"] if tuner else None,
        custom_config={
            **custom_config,
            "preprocessing": Preprocessing(
                **settings["image"], store_size=store_size, max_pixels=config.ingest.max_pixels
            ).model_dump(),
            "provenance": provenance(config, data_fingerprint),
            **(vertex_training or {}),
        },
        **training,
    )
    baseline = BaselineModel(
        candidate=trainer.outputs["model"],
        serving_directory=serving_directory,
        version=baseline_version,
        code=of_code("components.baseline_model.component"),
    )
    evaluator = Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["baseline"],
        example_splits=[TEST],
        eval_config=gates.saved_model(
            config.evaluator, label_key=config.data.label_key, text_labels=text_labels, class_count=class_count
        ),
        min_accuracy=config.evaluator.min_accuracy if min_accuracy is None else min_accuracy,
        max_accuracy_drop=config.evaluator.max_accuracy_drop if max_accuracy_drop is None else max_accuracy_drop,
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=_folder(serving_directory),
    )
    tflite_exporter = TFLiteExporter(
        model=trainer.outputs["model"],
        blessing=evaluator.outputs["blessing"],
        transformed_examples=transform.outputs["transformed_examples"],
        size=config.image.size,
        resize=config.image.resize,
        push=",".join(config.tflite.push),
        calibration_images=config.tflite.calibration_images,
        code=of_code("components.tflite_exporter.component"),
    )
    tflite_evaluators = [
        tfx.components.Evaluator(
            examples=tflite_exporter.outputs["predictions"],
            # Neither is run, their predictions are in the examples; the blessing and its lineage name them.
            model=tflite_exporter.outputs["tflite"],
            baseline_model=trainer.outputs["model"],
            example_splits=[TEST],
            eval_config=gates.tflite(config.tflite, variant),
        ).with_id(name)
        for name, variant in config.tflite.gates.items()
    ]
    tflite_pusher = TFLitePusher(
        tflite=tflite_exporter.outputs["tflite"],
        blessings={
            variant: evaluator.outputs["blessing"]
            for variant, evaluator in zip(config.tflite.push, tflite_evaluators, strict=True)
        },
        push_destination=_folder(tflite_directory),
    ).with_id("Pusher.tflite")
    gallery: list[BaseComponent] = []
    if config.style.enabled:
        style_catalog = StyleCatalog(
            catalog=config.style.catalog,
            styles=json.dumps(config.style.styles),
            code=of_code("components.style_catalog.component"),
            fingerprint=catalog.fingerprint(config.style.catalog),
        )
        style_renderer = StyleRenderer(
            style_catalog.outputs["published"],
            examples=example_gen.outputs["examples"] if style_contents.startswith(SPLIT) else None,
            image_key=config.data.image_key,
            contents=style_contents,
            max_contents=config.style.max_contents,
            overrides=config.style.settings.model_dump(mode="json", exclude_unset=True),
            size=config.style.size,
            strengths=config.style.strengths,
            picture_format=config.style.picture_format,
            max_bad_fraction=config.style.max_bad_fraction,
            store_directory=style_store,
            engine_code=of_code("components.style_renderer.engine.render"),
            code=of_code("components.style_renderer.component"),
        )
        if style_contents.startswith(SPLIT):
            style_renderer.add_upstream_node(anomaly_gate)  # pictures of data that was refused are not rendered
        gallery = [style_catalog, style_renderer]
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=pipeline_root,
        components=[
            example_gen,
            statistics_gen,
            schema_gen,
            example_validator,
            anomaly_gate,
            transform,
            *tuner,
            trainer,
            baseline,
            evaluator,
            pusher,
            tflite_exporter,
            *tflite_evaluators,
            tflite_pusher,
            *gallery,
        ],
        enable_cache=enable_cache,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(beam_args.of_run(config)),
    )


def provenance(config: Config, data_fingerprint: str) -> dict[str, str]:
    """What tells two trainings apart: their configuration, code and data."""
    return {
        "config": config.model_dump_json(include={"data", "image", "augmentation", "trainer", "tuner"}),
        "code": of_code("trainer.train"),
        "data": data_fingerprint,
    }


def _split_configs(splits: Mapping[str, str], config: Config) -> dict[str, object]:
    """ImportExampleGen's input and, where there is only one pattern, its hash split."""
    input_config = example_gen_pb2.Input(
        splits=[example_gen_pb2.Input.Split(name=name, pattern=pattern) for name, pattern in splits.items()]
    )
    if len(splits) > 1:
        return {"input_config": input_config}
    buckets = zip(SPLITS, config.data.split_buckets, strict=True)
    output = example_gen_pb2.SplitConfig(
        splits=[example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=count) for name, count in buckets]
    )
    return {"input_config": input_config, "output_config": example_gen_pb2.Output(split_config=output)}


def _folder(path: str) -> tfx.proto.PushDestination:
    return tfx.proto.PushDestination(filesystem=tfx.proto.PushDestination.Filesystem(base_directory=path))
