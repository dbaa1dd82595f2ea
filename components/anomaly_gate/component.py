"""AnomalyGate: stops the pipeline where ExampleValidator has found anomalies."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.anomaly_gate import executor


@component
def AnomalyGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    passed: OutputArtifact[standard_artifacts.ExampleAnomalies],
    code: Parameter[str],
) -> None:
    """Fails if any split of `anomalies` has one.

    ExampleValidator reports anomalies and lets them through. Whatever must not see bad data is put
    downstream: `transform.add_upstream_node(gate)`.

    Args:
      anomalies: from ExampleValidator.
      passed: a copy of the (empty) anomalies, the record that the gate was passed.
      code: fingerprint of this component's source, so that the cache notices an edit.

    Raises:
      executor.AnomaliesFoundError: names split, feature and reason of each anomaly.
    """
    del code  # part of the cache key only
    executor.check(anomalies, passed)
