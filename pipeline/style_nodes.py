"""The nodes of the DAG that have to do with styles: the gallery, and the one-pass stylizer with its gate."""

import json

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types import BaseChannel

from atelier import builtin_names
from components.pusher.component import Pusher
from components.style_catalog import catalog
from components.style_catalog.component import StyleCatalog
from components.style_renderer.batch import engines
from components.style_renderer.component import StyleRenderer
from components.stylizer_evaluator.component import StylizerEvaluator
from components.stylizer_trainer.component import StylizerTrainer
from pipeline import node_configs
from pipeline.config.config import Config
from pipeline.fingerprint import fingerprint_code
from pipeline.run_inputs import ContentImages, Places


def build_style_nodes(
    config: Config, places: Places, examples: BaseChannel, gate: BaseComponent, contents: ContentImages
) -> list[BaseComponent]:
    """Builds the nodes of the gallery and of the stylizer, each if it is enabled.

    Args:
      config: the whole configuration.
      places: the folders that are written to.
      examples: the raw records.
      gate: of the data: what reads the records comes after it.
      contents: what is rendered, trained on and held out.
    """
    if not (config.style.enabled or config.stylizer.enabled):
        return []

    # Publishes the styles with their licenses and hashes.
    style_catalog = StyleCatalog(
        catalog=config.style.catalog,
        styles=json.dumps(config.style.styles),
        code=fingerprint_code("components.style_catalog.component"),
        fingerprint=catalog.compute_fingerprint(config.style.catalog),
    )
    published = style_catalog.outputs["published"]
    return [
        style_catalog,
        *(_render_gallery(config, places, published, examples, gate, contents.gallery) if config.style.enabled else []),
        *(_release_stylizer(config, places, published, examples, gate, contents) if config.stylizer.enabled else []),
    ]


def _render_gallery(
    config: Config, places: Places, published: BaseChannel, examples: BaseChannel, gate: BaseComponent, contents: str
) -> list[BaseComponent]:
    # Renders every content image in every style.
    style = config.style
    style_renderer = StyleRenderer(
        published,
        examples=examples if _is_split(contents) else None,
        image_key=config.data.image_key,
        contents=contents,
        max_contents=style.max_contents,
        overrides=style.settings.model_dump(mode="json", exclude_unset=True),
        size=style.size,
        strengths=style.strengths,
        picture_format=style.picture_format,
        max_bad_fraction=style.max_bad_fraction,
        engine=style.engine,
        stylizer=style.stylizer,
        stylizer_sha256=engines.hash_stylizer(style.stylizer),
        store_directory=places.style_store,
        engine_code=fingerprint_code(engines.MODULES[style.engine]),
        code=fingerprint_code("components.style_renderer.component"),
    )
    if _is_split(contents):
        style_renderer.add_upstream_node(gate)  # images of data with anomalies are not rendered
    return [style_renderer]


def _release_stylizer(
    config: Config,
    places: Places,
    published: BaseChannel,
    examples: BaseChannel,
    gate: BaseComponent,
    contents: ContentImages,
) -> list[BaseComponent]:
    settings = config.stylizer

    # Trains a network that restyles an image in one pass.
    trainer = StylizerTrainer(
        published,
        examples=examples if _is_split(contents.stylizer) else None,
        image_key=config.data.image_key,
        contents=contents.stylizer,
        max_contents=settings.max_contents,
        settings=settings.training,
        tflite_sizes=settings.tflite_sizes,
        state_directory=places.state_directory,
        code=fingerprint_code("components.stylizer_trainer.component"),
    )
    if _is_split(contents.stylizer):
        trainer.add_upstream_node(gate)  # nothing is trained on data with anomalies

    # Compares it with the optimizing renderer on images that it has not seen, and blesses it or not.
    evaluator = StylizerEvaluator(
        trainer.outputs["model"],
        published,
        examples=examples if _is_split(contents.held_out) else None,
        image_key=config.data.image_key,
        held_out=contents.held_out,
        style_size=settings.training.style_size,
        settings=settings.gate,
        store_directory=places.reference_store,
        engine_code=fingerprint_code("components.style_renderer.engine.render"),
        code=fingerprint_code("components.stylizer_evaluator.component"),
    )
    if _is_split(contents.held_out):
        evaluator.add_upstream_node(gate)

    # Pushes the blessed SavedModel to where a server watches.
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=node_configs.build_push_destination(places.stylizer_directory),
    ).with_id("Pusher.stylizer")
    return [trainer, evaluator, pusher]


def _is_split(contents: str) -> bool:
    return contents.startswith(builtin_names.SPLIT_PREFIX)
