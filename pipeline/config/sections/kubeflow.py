"""The section `kubeflow`: Vertex AI, or Kubeflow Pipelines."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from atelier.settings.field_types import LARGEST_INT32, Count, Integer, Number
from atelier.settings.section import Section
from pipeline.run_inputs import Places


class Resources(Section):
    """What one node gets on a cluster; what is not said is left to the cluster."""

    machine_type: str = ""
    """Of a Vertex AI training job, as in `n1-standard-8`. Only for the Trainer and the Tuner, which then run as one."""
    cpu: Annotated[Number, Field(ge=0, le=4096)] = 0.0
    """Limit in virtual CPUs."""
    memory_gb: Annotated[Number, Field(ge=0, le=65536)] = 0.0
    """Limit in units of 10^9 bytes."""
    accelerator: str = ""
    """As the cluster names it: `NVIDIA_TESLA_T4` on Vertex AI, `nvidia.com/gpu` elsewhere."""
    accelerators: Count = 1
    """How many, if `accelerator` is given."""

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "Resources":
        if self.accelerators > 1 and not self.accelerator:
            raise ValueError(f"accelerators is {self.accelerators}, but accelerator is missing: name the accelerator")
        return self


class Kubeflow(Section):
    """Vertex AI, or Kubeflow Pipelines of one's own."""

    target: Literal["vertex", "kfp"] = "vertex"
    """`kfp`: open-source Kubeflow Pipelines."""
    image: str = ""
    """Of the containers: this project, built with kubeflow/image/Dockerfile, in a registry that the cluster reads."""
    root: str = ""
    """Folder that all nodes see, `gs://BUCKET/atelier`: artifacts, pushed models and rendered images lie there."""
    nodes: dict[str, Resources] = Field(default={})
    """By the node's id, as in `Trainer`."""
    schema_file: str = ""
    """The data's schema; "": `schema.pbtxt` beside the data, as ingest writes it."""
    text_labels: bool = False
    """Labels are strings: other people's TFRecords; ingest writes ids."""
    classes: Annotated[Integer, Field(ge=0, le=LARGEST_INT32)] = 0
    """How many, from 2; 0: not known here, and the Evaluator then leaves precision and recall by class out."""
    project: str = ""
    """Of Google Cloud."""
    region: str = "us-central1"
    """Of Vertex AI, where the run and its machines are."""
    service_account: str = ""
    """That the nodes run as; "": the project's default one."""
    api_endpoint: str = ""
    """Of Vertex AI, if it is not REGION-aiplatform.googleapis.com: a private one."""
    endpoint: str = ""
    """Of Kubeflow Pipelines: `https://HOST/pipeline`."""
    namespace: str = ""
    """The user's, in Kubeflow Pipelines for many users; "": it is for one."""
    labels: dict[str, str] = Field(default={})
    """Of the run, as in `team: vision`; on Kubeflow Pipelines, whose runs have none, of its pods."""
    caching: bool = True
    """Nodes whose inputs and parameters are unchanged are not run again."""
    schedule: str = ""
    """A cron line, as in `0 3 * * 1`; on Vertex AI `TZ=Europe/Paris ` may go before it; "": once, now."""

    @pydantic.model_validator(mode="after")
    def _check_consistency(self) -> "Kubeflow":
        if self.classes == 1:
            raise ValueError("kubeflow.classes is 1: expected at least 2, or 0 where the number is not known")
        return self

    @property
    def pipeline_root(self) -> str:
        """Folder of the artifacts."""
        return Places.from_root(self.root, keep_training_state=False).pipeline_root
