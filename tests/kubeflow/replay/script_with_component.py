"""A script whose component is its own: `__main__.Hello`. Runs it by LocalDagRunner, then compiles it.

Usage: script_with_component.py SPECIFICATION
"""

import sys
from pathlib import Path

from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as v2
from tfx.types import standard_artifacts


@component
def Hello(greeting: OutputArtifact[standard_artifacts.Model]) -> None:  # noqa: N802
    """Leaves a greeting."""
    Path(greeting.uri, "text").write_text("hello")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    database = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(target.parent / "metadata.db"))
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="script",
        pipeline_root=str(target.parent / "local"),
        components=[Hello()],
        metadata_connection_config=database,
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    config = v2.KubeflowV2DagRunnerConfig(default_image="none", use_pipeline_spec_2_1=True)
    v2.KubeflowV2DagRunner(config, output_dir=str(target.parent), output_filename=target.name).run(pipeline)
