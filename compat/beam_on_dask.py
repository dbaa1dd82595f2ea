"""Beam's DaskRunner with what it lacks: a cluster of the size that the options name, its end, and rejections.

Beam's own starts as many workers as the machine has processors and leaves them running. What it cannot do it leaves
out or fails at without a word that helps: it mixes tagged outputs up, drops what `finish_bundle` puts out and all but
the last branch of a graph, and cannot read files. Here all branches run, and the rest is rejected.

Needed with Beam 2.77. It can go when Beam's DaskRunner has an option for the number of workers, ends its cluster, and
either runs or rejects tagged outputs, `finish_bundle`, several branches and the reading of files.
"""

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator

from apache_beam import DoFn, ParDo, pvalue
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, Pipeline, PipelineVisitor
from apache_beam.runners.common import DoFnSignature
from apache_beam.runners.dask import dask_runner, overrides, transform_evaluator
from apache_beam.runners.runner import PipelineResult, PipelineState
from dask import bag, distributed
from dask.base import optimize

from atelier.errors import BeamError

UPSTREAM = {"apache-beam": "2.77.0"}

# The last two have nothing left to do: Dask's grouping has done it, in the one window that there is.
_RUNNABLE = {*transform_evaluator.TRANSLATIONS, overrides._Reshuffle, overrides._GroupAlsoByWindow}
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


class WorkersOption(PipelineOptions):
    """`--dask_workers`, which Beam's DaskRunner has no option for."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--dask_workers", type=int, default=1, help="Processes to start if no cluster is named.")


class DaskRunner(dask_runner.DaskRunner):
    """Runs a pipeline on the Dask cluster that the options name, or on one of its own on this machine."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> "Finished":
        """Runs a pipeline to its end.

        Raises:
          BeamError: the pipeline has what Beam's translation into Dask cannot do.
        """
        pipeline.replace_all(overrides.dask_overrides())
        pipeline.visit(_RejectUnsupported())
        dask_options = options.view_as(dask_runner.DaskOptions).get_all_options(drop_default=True, current_only=True)
        visitor = self.to_dask_bag_visitor(dask_runner.DaskOptions._extract_bag_kwargs(dask_options))
        pipeline.visit(visitor)
        with _connect_to_cluster(dask_options, options.view_as(WorkersOption).dask_workers) as client:
            futures = client.compute(list(optimize(*_find_ends(visitor.bags))))
            for _ in distributed.as_completed(futures, with_results=True):
                pass  # taking a result raises what its worker has raised
        return Finished()


class Finished(PipelineResult):
    """A run that is over; a run that fails has raised."""

    def __init__(self) -> None:
        super().__init__(PipelineState.DONE)

    def wait_until_finish(self, duration: int | None = None) -> str:
        """Has nothing to wait for."""
        return self.state


@contextlib.contextmanager
def _connect_to_cluster(named: dict[str, object], workers: int) -> Iterator[distributed.Client]:
    """Yields a client of the cluster that Beam's options name, or of a local one that ends with the client."""
    if "address" in named or "scheduler_file" in named:
        with distributed.Client(**named) as client:
            yield client
        return
    # Dask tells each start and end of a worker, and Beam has made the root logger print it.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    # As many threads of TensorFlow in each as Beam's local runner would have, where nobody has said so.
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
    with (
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # Dask would pause and kill workers at their share of the memory, whatever the others leave.
            memory_limit=0,
            env={name: os.environ.get(name, threads) for name in _THREADS},
        ) as cluster,
        distributed.Client(cluster, **named) as client,
    ):
        yield client


def _find_ends(bags: dict[AppliedPTransform, bag.Bag]) -> list[bag.Bag]:
    """The bags that no other transform reads: to compute them is to compute all."""
    read = set()
    for applied in bags:
        values = (*applied.inputs, *(side.pvalue for side in applied.side_inputs))
        read |= {value.producer for value in values if not isinstance(value, pvalue.PBegin)}
    return [made for applied, made in bags.items() if applied not in read]


class _RejectUnsupported(PipelineVisitor):
    """Rejects what would fail obscurely, or give other results than elsewhere."""

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        if problem := _find_problem(transform_node):
            raise BeamError(
                f"beam.runner=dask: Beam's DaskRunner {problem}, as {transform_node.full_label} needs; "
                "it runs ingest and style rendering only, so use another runner for other nodes (docs/how-to/beam.md)"
            )


def _find_problem(applied: AppliedPTransform) -> str:
    transform = applied.transform
    if isinstance(transform, overrides._Read):
        return "cannot read files"
    if type(transform) not in _RUNNABLE:  # a subclass of theirs would be passed over
        return f"has no {type(transform).__name__}"
    if len(applied.outputs) > 1:
        return "mixes several outputs up"
    if type(transform) is ParDo:
        signature = DoFnSignature(transform.fn)
        if signature.is_splittable_dofn() or signature.is_stateful_dofn():
            return "keeps no state and splits no element"
        if type(transform.fn).finish_bundle is not DoFn.finish_bundle:
            return "drops what finish_bundle puts out"
    return ""
