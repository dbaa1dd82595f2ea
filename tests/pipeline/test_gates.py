"""The two gates, by TFX's Evaluator itself: each bound met exactly, and missed by a little."""

import re
from pathlib import Path

import pytest
from google.protobuf import json_format

from pipeline.config import config
from tests.deferred import deferred_imports

with deferred_imports():
    from tensorflow_model_analysis.proto import config_pb2

    from components.evaluator import gates, metrics, thresholds
    from components.tflite_exporter import materialized
    from pipeline.results import evaluations, results

AT_THE_BOUNDS = config.TFLite(max_accuracy_drop=0.1, max_slice_accuracy_drop=0.2, max_disagreement=0.15)
SETTINGS = config.Evaluator(min_accuracy=0.9, max_accuracy_drop=0.01)


def build_saved_model(settings, **options):
    return gates.build_saved_model_gate(**settings.model_dump(), **options)


def build_tflite(settings, code="1234"):
    bounds = settings.model_dump(include={"max_accuracy_drop", "max_slice_accuracy_drop", "max_disagreement"})
    return gates.build_tflite_gate("int8", **bounds, agreement_code=code)


def verdict(node, name="Evaluator"):
    settings = config.Config(name="pets", evaluator=SETTINGS)
    found = results.collect(settings, Path("output"), {name: node}, ingest={}, failure="", warnings=())
    assert found["reasons"] == [f"{name}: {reason}" for reason in found["gates"][name]["reasons"]]
    return found["gates"][name]


@pytest.mark.slow
def test_tflite_passes_where_every_bound_is_met_exactly(evaluate):
    assert verdict(evaluate(build_tflite(AT_THE_BOUNDS)), "Evaluator.tflite") == {
        "blessed": True,
        "reasons": [],
    }


@pytest.mark.slow
def test_tflite_is_refused_by_each_bound_that_is_missed_by_a_little(evaluate):
    closer = config.TFLite(max_accuracy_drop=0.0999, max_slice_accuracy_drop=0.1999, max_disagreement=0.1499)
    refused = verdict(evaluate(build_tflite(closer)), "Evaluator.tflite")
    assert not refused["blessed"]
    # Class 1 loses 1 of 15, which is allowed; that class 0 agrees on 4 of 5 only does not matter.
    assert sorted(refused["reasons"]) == [
        "accuracy changed by -0.1000 against the baseline; a drop of 0.0999 is allowed (all images)",
        "accuracy changed by -0.2000 against the baseline; a drop of 0.1999 is allowed (label = 0)",
        "agreement 0.8500 is below 0.8501 (all images)",
    ]


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ({"max_accuracy_drop": 0.09}, "accuracy changed by -0.1000 .* 0.0900 is allowed .all images."),
        ({"max_slice_accuracy_drop": 0.19}, "accuracy changed by -0.2000 .* 0.1900 is allowed .label = 0."),
        ({"max_disagreement": 0.14}, "agreement 0.8500 is below 0.8600 .all images."),
    ],
)
@pytest.mark.slow
def test_one_missed_bound_suffices(evaluate, bound, reason):
    refused = verdict(evaluate(build_tflite(AT_THE_BOUNDS.model_copy(update=bound))), "Evaluator.tflite")
    assert not refused["blessed"]
    (given,) = refused["reasons"]
    assert re.fullmatch(reason, given)


@pytest.mark.slow
def test_a_gate_without_images_refuses_and_says_so(evaluate):
    assert verdict(evaluate(build_tflite(AT_THE_BOUNDS), images=0), "Evaluator.tflite") == {
        "blessed": False,
        "reasons": ["no image to measure on (all images)", "no image to measure on (label)"],
    }


@pytest.mark.slow
def test_the_saved_model_passes_at_its_bounds_although_a_slice_lies_below(passed_evaluation):
    assert verdict(passed_evaluation) == {"blessed": True, "reasons": []}
    # The thresholds are 0.85 and a drop of 0.1; class 0 has 4 of 5, and had 5 of 5.
    slices = {
        entry["slice"]["label"]: entry["metrics"] for entry in evaluations.read_evaluation(passed_evaluation)["slices"]
    }
    assert slices["0"]["accuracy"] == pytest.approx(0.8)


@pytest.mark.slow
def test_the_saved_model_is_refused_by_each_bound_that_is_missed_by_a_little(evaluate, saved_model_gate):
    closer = config.Evaluator(min_accuracy=0.8501, max_accuracy_drop=0.0999, slices=("label",))
    refused = verdict(evaluate(saved_model_gate(closer)))
    assert not refused["blessed"]
    assert sorted(refused["reasons"]) == [
        "accuracy 0.8500 is below 0.8501 (all images)",
        "accuracy changed by -0.1000 against the baseline; a drop of 0.0999 is allowed (all images)",
    ]


@pytest.mark.slow
def test_the_saved_model_is_refused_by_a_slice_below_its_floor(evaluate, saved_model_gate):
    """Class 0 has 4 of 5; the others lie above."""
    floor = config.Evaluator(min_accuracy=0.85, max_accuracy_drop=0.1, min_slice_accuracy=0.8, slices=("label",))
    assert verdict(evaluate(saved_model_gate(floor))) == {"blessed": True, "reasons": []}
    refused = verdict(evaluate(saved_model_gate(floor.model_copy(update={"min_slice_accuracy": 0.81}))))
    assert refused == {"blessed": False, "reasons": ["accuracy 0.8000 is below 0.8100 (label = 0)"]}
    unknown = verdict(evaluate(saved_model_gate(floor.model_copy(update={"slices": ("label", "camera")}))))
    assert unknown == {"blessed": False, "reasons": ["no image to measure on (camera)"]}


def test_bounds_stand_on_all_images_only_except_tflites_on_labels():
    def thresholds(eval_config):
        return [
            (tuple(spec.feature_keys), json_format.MessageToDict(bound.threshold))
            for metrics in eval_config.metrics_specs
            for metric in metrics.metrics
            for bound in metric.per_slice_thresholds
            for spec in bound.slicing_specs
        ]

    saved_model = build_saved_model(SETTINGS, label_key="label", text_labels=False, class_count=3)
    for metrics in (*saved_model.metrics_specs, *build_tflite(AT_THE_BOUNDS).metrics_specs):
        assert not metrics.thresholds
        assert not any(metric.HasField("threshold") for metric in metrics.metrics)  # these hold on every slice
    (value_and_change,) = thresholds(saved_model)
    assert value_and_change[0] == ()
    assert value_and_change[1]["valueThreshold"]["lowerBound"] == pytest.approx(0.9, abs=1e-5)
    assert value_and_change[1]["changeThreshold"]["absolute"] == pytest.approx(-0.01, abs=1e-5)
    assert [where for where, _ in thresholds(build_tflite(AT_THE_BOUNDS))] == [(), (materialized.LABEL,), ()]


@pytest.mark.parametrize(("count", "by_class"), [(3, True), (200, True), (201, False), (None, False)])
def test_metrics_by_class_are_left_out_where_there_are_too_many(count, by_class):
    eval_config = build_saved_model(SETTINGS, label_key="label", text_labels=False, class_count=count)
    specs = [spec for spec in eval_config.metrics_specs if spec.HasField("binarize")]
    assert len(specs) == by_class
    if by_class:
        assert list(specs[0].binarize.class_ids.values) == list(range(count))
        assert [metric.class_name for metric in specs[0].metrics] == ["Precision", "Recall"]


def test_the_saved_model_is_asked_by_its_signature_and_the_raw_label():
    (spec,) = build_saved_model(SETTINGS, label_key="kind", text_labels=False, class_count=3).model_specs
    assert (spec.signature_name, spec.prediction_key, spec.label_key) == ("serving_default", "probabilities", "kind")
    assert not spec.preprocessing_function_names


def test_text_labels_get_their_ids_from_the_model():
    (spec,) = build_saved_model(SETTINGS, label_key="kind", text_labels=True, class_count=3).model_specs
    assert spec.label_key == "label_xf"
    assert list(spec.preprocessing_function_names) == ["transform_features"]


def test_slices_are_all_images_and_each_configured_feature():
    eval_config = build_saved_model(SETTINGS, label_key="label", text_labels=False, class_count=3)
    assert [list(spec.feature_keys) for spec in eval_config.slicing_specs] == [
        [],
        ["image/class/label"],
        ["image/format"],
    ]


def test_an_edit_of_the_agreement_metric_changes_the_gate():
    assert build_tflite(AT_THE_BOUNDS) == build_tflite(AT_THE_BOUNDS)
    assert build_tflite(AT_THE_BOUNDS, code="edited") != build_tflite(AT_THE_BOUNDS)


def test_a_metric_is_added_by_one_registered_function(monkeypatch):
    monkeypatch.setattr(metrics, "_BUILDERS", {scope: list(found) for scope, found in metrics._BUILDERS.items()})
    before = build_saved_model(SETTINGS, label_key="label", text_labels=False, class_count=3)

    @metrics.register("classes")
    def build_specificity(context):
        return config_pb2.MetricConfig(class_name="Specificity", config=f'{{"num_thresholds": {context.class_count}}}')

    after = build_saved_model(SETTINGS, label_key="label", text_labels=False, class_count=3)
    (added,) = [metric for spec in after.metrics_specs for metric in spec.metrics if metric.class_name == "Specificity"]
    assert added.config == '{"num_thresholds": 3}'
    del after.metrics_specs[2].metrics[-1]
    assert after == before


@pytest.mark.slow
def test_the_thresholds_that_a_run_is_started_with_go_before_the_configured_ones(evaluate, saved_model_gate):
    lenient = config.Evaluator(min_accuracy=0.1, max_accuracy_drop=0.9, slices=("label",))
    refused = verdict(evaluate(saved_model_gate(lenient), min_accuracy=0.86, max_accuracy_drop=0.0))
    assert sorted(refused["reasons"]) == [
        "accuracy 0.8500 is below 0.8600 (all images)",
        "accuracy changed by -0.1000 against the baseline; a drop of 0.0000 is allowed (all images)",
    ]
    strict = config.Evaluator(min_accuracy=0.99, max_accuracy_drop=0.0, slices=("label",))
    passed = verdict(evaluate(saved_model_gate(strict), min_accuracy=0.85, max_accuracy_drop=0.1))
    assert passed == {"blessed": True, "reasons": []}


@pytest.mark.slow
@pytest.mark.parametrize("thresholds", [{"min_accuracy": 85.0}, {"max_accuracy_drop": -0.1}])
def test_a_threshold_that_is_no_share_is_refused(evaluate, saved_model_gate, thresholds):
    ((name, value),) = thresholds.items()
    with pytest.raises(ValueError, match=f"{name} is {value}: expected 0 to 1"):
        evaluate(saved_model_gate(SETTINGS), **({"min_accuracy": 0.9, "max_accuracy_drop": 0.1} | thresholds))


def test_without_a_threshold_to_set_the_gate_says_so():
    with pytest.raises(ValueError, match="no threshold on SparseCategoricalAccuracy"):
        thresholds.apply_thresholds(config_pb2.EvalConfig(), lower=0.9, drop=0.01)
