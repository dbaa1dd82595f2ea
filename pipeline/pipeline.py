"""The DAG, and nothing else: the same for every runner."""

from typing import NamedTuple

from tfx import v1 as tfx
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.extensions.google_cloud_ai_platform.trainer.component import Trainer as VertexTrainer
from tfx.extensions.google_cloud_ai_platform.tuner.component import Tuner as VertexTuner
from tfx.types import BaseChannel

from atelier.layout import EVAL, TEST, TRAIN
from components.anomaly_gate.component import AnomalyGate
from components.baseline_model.component import BaselineModel
from components.evaluator.component import Evaluator
from components.pusher.component import Pusher, TFLitePusher
from components.tflite_exporter.component import TFLiteExporter
from components.transform.component import Transform
from pipeline import node_configs, style_nodes
from pipeline.beam import pipeline_options
from pipeline.config.config import Config
from pipeline.fingerprint import fingerprint_code
from pipeline.run_inputs import ContentImages, DataFacts, Places, RunParameters, VertexJobs

PREPROCESSING_FN = "trainer.preprocessing.preprocessing_fn"
RUN_FN = "trainer.train.run_fn"
TUNER_FN = "trainer.tuner.tuner_fn"


def create_pipeline(
    config: Config,
    places: Places,
    parameters: RunParameters,
    data: DataFacts,
    *,
    baseline_version: str,
    contents: ContentImages | None = None,
    vertex: VertexJobs | None = None,
    metadata_connection_config: object | None = None,
    enable_cache: bool = True,
) -> tfx.dsl.Pipeline:
    """Builds the DAG.

    Args:
      config: the whole configuration.
      places: the folders that are written to.
      parameters: what can differ from run to run.
      data: what is known about the data before the run.
      baseline_version: what the candidate must beat; see `BaselineModel`.
      contents: content images of the gallery and of the stylizer; None: as the configuration names them.
      vertex: the nodes that run as training jobs of Vertex AI; None: there are none.
      metadata_connection_config: of MLMD; None where the orchestrator brings its own.
      enable_cache: nodes whose inputs, parameters and code are unchanged are not run again.
    """
    validated = _validate_data(config, parameters, data)
    transform = _build_transform(config, validated, data)
    trained = _train(config, places, parameters, data, validated, transform, vertex or VertexJobs())
    baseline, evaluator, pusher = _release_model(config, places, parameters, data, validated, trained, baseline_version)
    contents = contents or ContentImages(config.style.contents, config.stylizer.contents, config.stylizer.held_out)
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=places.pipeline_root,
        components=[
            *validated,
            transform,
            *trained.tuner,
            trained.trainer,
            *(baseline, evaluator, pusher),
            *_release_tflite(config, places, transform, trained, evaluator),
            *style_nodes.build_style_nodes(config, places, validated.examples, validated.anomaly_gate, contents),
        ],
        enable_cache=enable_cache,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(pipeline_options.build_run_options(config)),
    )


class _ValidatedData(NamedTuple):
    """The nodes that read the data and look at it."""

    example_gen: BaseComponent
    statistics_gen: BaseComponent
    schema_gen: BaseComponent
    example_validator: BaseComponent
    anomaly_gate: BaseComponent

    @property
    def examples(self) -> BaseChannel:
        return self.example_gen.outputs["examples"]

    @property
    def schema(self) -> BaseChannel:
        return self.schema_gen.outputs["schema"]


class _Training(NamedTuple):
    """The Trainer, and the Tuner if there is one."""

    tuner: list[BaseComponent]
    trainer: BaseComponent

    @property
    def model(self) -> BaseChannel:
        return self.trainer.outputs["model"]


def _validate_data(config: Config, parameters: RunParameters, data: DataFacts) -> _ValidatedData:
    # Reads the TFRecords, and splits them if they have one split only.
    example_gen = tfx.components.ImportExampleGen(
        input_base=parameters.data_root, **node_configs.build_split_configs(config, data)
    )

    # Measures the raw records, for the schema and the report.
    statistics_gen = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])

    # Takes the schema that ingest wrote, or infers one from the statistics.
    if parameters.schema_file:
        schema_gen: BaseComponent = tfx.components.ImportSchemaGen(schema_file=parameters.schema_file)
    else:
        schema_gen = tfx.components.SchemaGen(statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True)

    # Compares the statistics with the schema.
    example_validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )

    # Stops the run if the data has anomalies.
    anomaly_gate = AnomalyGate(
        anomalies=example_validator.outputs["anomalies"], code=fingerprint_code("components.anomaly_gate.component")
    )
    return _ValidatedData(example_gen, statistics_gen, schema_gen, example_validator, anomaly_gate)


def _build_transform(config: Config, validated: _ValidatedData, data: DataFacts) -> BaseComponent:
    # Decodes, orients and resizes the images, and stores augmented variants of the training split.
    transform = Transform(
        examples=validated.examples,
        schema=validated.schema,
        preprocessing_fn=PREPROCESSING_FN,
        custom_config=node_configs.build_transform_config(config, data),
    )
    transform.add_upstream_node(validated.anomaly_gate)
    return transform


def _train(
    config: Config,
    places: Places,
    parameters: RunParameters,
    data: DataFacts,
    validated: _ValidatedData,
    transform: BaseComponent,
    vertex: VertexJobs,
) -> _Training:
    inputs = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": validated.schema,
        "train_args": parameters.train_args or tfx.proto.TrainArgs(splits=[TRAIN]),
        "eval_args": tfx.proto.EvalArgs(splits=[EVAL]),
    }

    # Searches for the Trainer's values, on the eval split.
    tuner: list[BaseComponent] = []
    if config.tuner.enabled:
        tuner_class, tune_args = tfx.components.Tuner, None
        if vertex.tuning:
            tuner_class = VertexTuner
            tune_args = tfx.proto.TuneArgs(num_parallel_trials=config.tuner.parallel_trials)
        custom_config = node_configs.build_tuner_config(config, places, data) | dict(vertex.tuning or {})
        tuner = [tuner_class(tuner_fn=TUNER_FN, tune_args=tune_args, custom_config=custom_config, **inputs)]

    # Trains the classifier, and exports it as a SavedModel and as a Keras file.
    trainer_class = VertexTrainer if vertex.training else tfx.components.Trainer
    trainer = trainer_class(
        run_fn=RUN_FN,
        hyperparameters=tuner[0].outputs["best_hyperparameters"] if tuner else None,
        custom_config=node_configs.build_trainer_config(config, places, data) | dict(vertex.training or {}),
        **inputs,
    )
    return _Training(tuner, trainer)


def _release_model(
    config: Config,
    places: Places,
    parameters: RunParameters,
    data: DataFacts,
    validated: _ValidatedData,
    trained: _Training,
    baseline_version: str,
) -> tuple[BaseComponent, BaseComponent, BaseComponent]:
    # Finds the pushed version that the candidate must beat.
    baseline = BaselineModel(
        candidate=trained.model,
        serving_directory=places.serving_directory,
        version=baseline_version,
        code=fingerprint_code("components.baseline_model.component"),
    )

    # Measures the candidate and the baseline on the test split, and blesses the candidate or not.
    evaluator = Evaluator(
        examples=validated.examples,
        model=trained.model,
        baseline_model=baseline.outputs["baseline"],
        example_splits=[TEST],
        eval_config=node_configs.build_saved_model_gate(config, data),
        min_accuracy=parameters.min_accuracy,
        max_accuracy_drop=parameters.max_accuracy_drop,
    )

    # Pushes the blessed SavedModel to where a server watches.
    pusher = Pusher(
        model=trained.model,
        model_blessing=evaluator.outputs["blessing"],
        push_destination=node_configs.build_push_destination(places.serving_directory),
    )
    return baseline, evaluator, pusher


def _release_tflite(
    config: Config, places: Places, transform: BaseComponent, trained: _Training, evaluator: BaseComponent
) -> list[BaseComponent]:
    # Converts the blessed model to TFLite, proves and measures each variant, and writes their predictions.
    exporter = TFLiteExporter(
        model=trained.model,
        blessing=evaluator.outputs["blessing"],
        transformed_examples=transform.outputs["transformed_examples"],
        size=config.image.size,
        resize=config.image.resize,
        push=",".join(config.tflite.push),
        calibration_images=config.tflite.calibration_images,
        code=fingerprint_code("components.tflite_exporter.component"),
    )

    # Compares each variant with the SavedModel on those predictions. Neither model is run again: the blessing and its
    # lineage name them.
    evaluators = [
        tfx.components.Evaluator(
            examples=exporter.outputs["predictions"],
            model=exporter.outputs["tflite"],
            baseline_model=trained.model,
            example_splits=[TEST],
            eval_config=node_configs.build_tflite_gate(config.tflite, variant),
        ).with_id(name)
        for name, variant in config.tflite.gates.items()
    ]

    # Pushes the first variant, in the order of preference, that its gate has blessed.
    pusher = TFLitePusher(
        tflite=exporter.outputs["tflite"],
        blessings={
            variant: gate.outputs["blessing"] for variant, gate in zip(config.tflite.push, evaluators, strict=True)
        },
        push_destination=node_configs.build_push_destination(places.tflite_directory),
    ).with_id("Pusher.tflite")
    return [exporter, *evaluators, pusher]
