"""BaselineModel: publishes the model that a candidate has to beat."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.baseline_model import executor


@component
def BaselineModel(
    candidate: InputArtifact[standard_artifacts.Model],
    baseline: OutputArtifact[standard_artifacts.Model],
    serving_directory: Parameter[str],
    version: Parameter[str],
    code: Parameter[str],
) -> None:
    """Copies the pushed model `version` to `baseline`.

    Every pushed model was blessed, so the last pushed one is the latest blessed one. TFX's own
    resolver for that runs on Vertex AI only; a component runs everywhere, open-source Kubeflow
    Pipelines included.

    Args:
      candidate: the model that is being evaluated.
      baseline: the pushed model, or the candidate itself where none was ever pushed (then its custom
        property `is_candidate` is 1: nothing can be worse than itself, only the value threshold counts).
      serving_directory: where Pusher writes versions.
      version: "" for none, `latest` for the highest number when the component runs, or a number.
      code: fingerprint of this component's source, so that the cache notices an edit.
    """
    del code  # part of the cache key only
    executor.publish(candidate, baseline, serving_directory, version)
