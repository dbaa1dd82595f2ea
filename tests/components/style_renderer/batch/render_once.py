"""Renders two contents in two styles on the Beam runner that it is told: see test_runners.py.

python -m tests.components.style_renderer.batch.render_once BEAM_AS_JSON IMAGES OUTPUT
"""

import sys
from pathlib import Path

from components.style_catalog import catalog
from components.style_renderer.batch import batch, contents
from pipeline.beam import pipeline_options
from pipeline.config.sections.beam import Beam


def main(beam: str, images: str, output: str) -> None:
    report = batch.render_batch(
        contents.list_files(str(Path(images, "content"))),
        catalog.load_folder(Path(images, "styles")),
        output,
        batch.Request(overrides={"scales": [{"size": 64, "iterations": 3}]}, picture_format="png"),
        batch.make_local_pipelines(pipeline_options.build_pipeline_options(Beam.model_validate_json(beam))),
        threads=1,
    )
    assert report.rendered == 4, report


if __name__ == "__main__":
    main(*sys.argv[1:])
