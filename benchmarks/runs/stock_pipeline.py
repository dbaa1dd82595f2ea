"""A plain TFX pipeline, of TFX's own components alone, with our preprocessing and our training.

.venv/bin/python -m benchmarks.stock_pipeline CONFIG DATA OUTPUT
"""

import sys
from pathlib import Path

from tfx import v1 as tfx
from tfx.proto import example_gen_pb2

from atelier.preprocessing import Preprocessing
from components.evaluator import gates
from pipeline.beam import pipeline_options
from pipeline.config import config
from pipeline.metadata import database
from pipeline.pipeline import PREPROCESSING_FN, RUN_FN


def create_pipeline(settings: config.Config, data: Path, output: Path) -> tfx.dsl.Pipeline:
    """Builds it as TFX's tutorials do.

    Args:
      settings: those that `atelier run` would be given.
      data: an ingest's output.
      output: folder for artifacts, metadata and the pushed model.
    """
    sections = settings.model_dump(mode="json")
    splits = [example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*") for name in ("train", "eval", "test")]
    example_gen = tfx.components.ImportExampleGen(
        input_base=str(data), input_config=example_gen_pb2.Input(splits=splits)
    )
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    schema_gen = tfx.components.SchemaGen(statistics=statistics, infer_feature_shape=True)
    schema = schema_gen.outputs["schema"]
    example_validator = tfx.components.ExampleValidator(statistics=statistics, schema=schema)
    transform = tfx.components.Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=PREPROCESSING_FN,
        custom_config={
            "image_key": settings.data.image_key,
            "label_key": settings.data.label_key,
            **sections["image"],
        },
    )
    trainer = tfx.components.Trainer(
        run_fn=RUN_FN,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=tfx.proto.TrainArgs(splits=["train"]),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config={
            **{name: sections[name] for name in ("data", "image", "augmentation", "trainer")},
            "preprocessing": Preprocessing(**sections["image"], store_size=settings.ingest.store_size).model_dump(),
            "state_dir": "",
            "provenance": {},
        },
    )
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        example_splits=["test"],
        eval_config=gates.build_saved_model_gate(
            **settings.evaluator.model_dump(), label_key=settings.data.label_key, text_labels=False, class_count=None
        ),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(output / "serving_model"))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name=settings.name,
        pipeline_root=str(output / "pipeline_root"),
        components=[
            example_gen,
            statistics_gen,
            schema_gen,
            example_validator,
            transform,
            trainer,
            evaluator,
            pusher,
        ],
        metadata_connection_config=database.build_connection_config(settings.metadata, output),
        beam_pipeline_args=list(pipeline_options.build_run_options(settings)),
    )


def main() -> None:
    """Runs it from the beginning to the end."""
    file, data, output = map(Path, sys.argv[1:])
    output.mkdir(parents=True)
    tfx.orchestration.LocalDagRunner().run(create_pipeline(config.load(file), data, output))


if __name__ == "__main__":
    main()
