"""The DAG as it is documented: its nodes, its edges, and what each node is told."""

import dataclasses
import inspect
import json

import pytest

from pipeline import fingerprint
from pipeline.beam import pipeline_options
from pipeline.config import config
from pipeline.run_inputs import ContentImages, DataFacts, Places, RunParameters
from tests.deferred import deferred_imports
from trainer.settings import Augmentation, Tuner

with deferred_imports():
    from tfx.orchestration import metadata

    from components.pusher import executor
    from pipeline import node_configs, pipeline

CONFIG = config.Config(
    name="pets",
    data=config.Data(source="images", image_key="image", label_key="kind"),
    image=config.Image(size=64, resize="pad"),
    augmentation=Augmentation(copies=2),
    evaluator=config.Evaluator(min_accuracy=0.9, max_accuracy_drop=0.01),
)
EDGES = {
    "ImportExampleGen": set(),
    "StatisticsGen": {"ImportExampleGen"},
    "ImportSchemaGen": set(),
    "ExampleValidator": {"StatisticsGen", "ImportSchemaGen"},
    "AnomalyGate": {"ExampleValidator"},
    "Transform": {"ImportExampleGen", "ImportSchemaGen", "AnomalyGate"},
    "Trainer": {"Transform", "ImportSchemaGen"},
    "BaselineModel": {"Trainer"},
    "Evaluator": {"ImportExampleGen", "Trainer", "BaselineModel"},
    "Pusher": {"Trainer", "Evaluator"},
    "TFLiteExporter": {"Trainer", "Evaluator", "Transform"},
    "Evaluator.tflite": {"TFLiteExporter", "Trainer"},
    "Pusher.tflite": {"TFLiteExporter", "Evaluator.tflite"},
}


def create(settings=CONFIG, *, parameters=None, data=None, places=None, **changes):
    arguments = {"baseline_version": "1700000000"} | changes
    return pipeline.create_pipeline(
        settings,
        dataclasses.replace(Places.from_root("/output", keep_training_state=True), **(places or {})),
        RunParameters(
            **(
                {
                    "data_root": "/data",
                    "schema_file": "/data/schema.pbtxt",
                    "min_accuracy": settings.evaluator.min_accuracy,
                    "max_accuracy_drop": settings.evaluator.max_accuracy_drop,
                }
                | (parameters or {})
            )
        ),
        DataFacts(
            **(
                {
                    "splits": {"train": "train/*", "eval": "eval/*", "test": "test/*"},
                    "text_labels": False,
                    "class_count": 3,
                    "fingerprint": "0123456789abcdef",
                }
                | (data or {})
            )
        ),
        **arguments,
    )


def index_nodes(dag):
    return {node.id: node for node in dag.components}


def read_custom_config(node):
    """The custom_config of a node."""
    return json.loads(node.exec_properties["custom_config"])


def replace_values(section, **values):
    part = getattr(CONFIG, section).model_copy(update=values)
    return CONFIG.model_copy(update={section: part})


@pytest.fixture(scope="module")
def dag():
    return create()


def test_the_nodes_and_edges_are_the_documented_ones(dag):
    assert {name: {up.id for up in node.upstream_nodes} for name, node in index_nodes(dag).items()} == EDGES


def test_nothing_is_pushed_but_what_the_gate_before_it_blessed(dag):
    for pusher, gate, model in (
        ("Pusher", "Evaluator", "Trainer"),
        ("Pusher.tflite", "Evaluator.tflite", "TFLiteExporter"),
    ):
        assert index_nodes(dag)[pusher].inputs["model_blessing"].producer_component_id == gate
        assert index_nodes(dag)[pusher].inputs["model"].producer_component_id == model
        assert index_nodes(dag)[gate].inputs["model"].producer_component_id == model


def test_each_variant_in_the_order_of_preference_has_a_gate_of_its_own():
    found = index_nodes(create(replace_values("tflite", push=("int8", "dynamic", "float"))))
    gates = {"Evaluator.tflite": "int8", "Evaluator.tflite.dynamic": "dynamic", "Evaluator.tflite.float": "float"}
    assert found.keys() == EDGES.keys() | gates.keys()
    for gate, variant in gates.items():
        evaluation = json.loads(found[gate].exec_properties["eval_config"])
        keys = {spec["name"]: spec["prediction_key"] for spec in evaluation["model_specs"]}
        assert keys == {"candidate": f"{variant}_probabilities", "baseline": "saved_model_probabilities"}
        assert f"{variant}_agrees" in found[gate].exec_properties["eval_config"]
        assert (
            fingerprint.fingerprint_code("components.tflite_exporter.agreement")
            in found[gate].exec_properties["eval_config"]
        )
    pusher = found["Pusher.tflite"]
    assert found["TFLiteExporter"].exec_properties["push"] == pusher.exec_properties["variants"] == "int8,dynamic,float"
    blessings = [pusher.inputs[key].producer_component_id for key in executor.BLESSINGS]
    assert blessings == list(gates)


def test_without_a_schema_one_is_inferred():
    found = index_nodes(create(parameters={"schema_file": ""}))
    assert "ImportSchemaGen" not in found
    assert {node.id for node in found["SchemaGen"].upstream_nodes} == {"StatisticsGen"}
    assert "SchemaGen" in {node.id for node in found["Transform"].upstream_nodes}
    assert found.keys() - {"SchemaGen"} == EDGES.keys() - {"ImportSchemaGen"}


def test_transform_is_told_the_keys_the_size_and_the_augmentation(dag):
    found = read_custom_config(index_nodes(dag)["Transform"])
    assert found.pop("code") == [
        fingerprint.fingerprint_code("components.transform.component"),
        fingerprint.fingerprint_code("trainer.preprocessing"),
    ]
    assert found == {
        "image_key": "image",
        "label_key": "kind",
        "size": 64,
        "resize": "pad",
        "augmentation": CONFIG.augmentation.model_dump(mode="json"),
    }
    assert index_nodes(dag)["Transform"].exec_properties["preprocessing_fn"] == "trainer.preprocessing.preprocessing_fn"


def test_the_trainer_is_told_its_sections_and_its_provenance(dag):
    found = read_custom_config(index_nodes(dag)["Trainer"])
    assert found.keys() == {"data", "image", "augmentation", "trainer", "state_dir", "preprocessing", "provenance"}
    assert found["image"] == {"size": 64, "resize": "pad"}
    assert found["trainer"] == CONFIG.trainer.model_dump(mode="json")
    assert found["state_dir"] == "/output/training_state"
    assert found["provenance"] == node_configs.collect_provenance(CONFIG, "0123456789abcdef")
    assert index_nodes(dag)["Trainer"].exec_properties["run_fn"] == "trainer.train.run_fn"


def test_the_tuner_stands_between_transform_and_the_trainer():
    tuner_section = Tuner(enabled=True, max_trials=7)
    dag = create(CONFIG.model_copy(update={"tuner": tuner_section}))
    edges = {name: {up.id for up in node.upstream_nodes} for name, node in index_nodes(dag).items()}
    assert edges == {
        **EDGES,
        "Tuner": {"Transform", "ImportSchemaGen"},
        "Trainer": {"Transform", "ImportSchemaGen", "Tuner"},
    }
    chosen = index_nodes(dag)["Trainer"].inputs["hyperparameters"]
    assert (chosen.producer_component_id, chosen.output_key) == ("Tuner", "best_hyperparameters")
    found, trainer = read_custom_config(index_nodes(dag)["Tuner"]), read_custom_config(index_nodes(dag)["Trainer"])
    assert found.pop("tuner") == tuner_section.model_dump(mode="json")
    assert found.pop("code") == fingerprint.fingerprint_code("trainer.tuner")
    assert found == {key: trainer[key] for key in ("data", "image", "augmentation", "trainer", "state_dir")}
    properties = index_nodes(dag)["Tuner"].exec_properties
    assert (properties["tuner_fn"], properties["tune_args"]) == ("trainer.tuner.tuner_fn", None)
    assert properties["train_args"] == index_nodes(dag)["Trainer"].exec_properties["train_args"]
    # Another space makes another training, so the model pushed before is a baseline for it.
    assert node_configs.collect_provenance(
        CONFIG.model_copy(update={"tuner": tuner_section}), ""
    ) != node_configs.collect_provenance(CONFIG, "")


def test_each_node_of_ours_carries_the_fingerprint_of_its_code(dag):
    for name, module in (
        ("AnomalyGate", "components.anomaly_gate.component"),
        ("BaselineModel", "components.baseline_model.component"),
        ("TFLiteExporter", "components.tflite_exporter.component"),
    ):
        assert index_nodes(dag)[name].exec_properties["code"] == fingerprint.fingerprint_code(module)
    assert read_custom_config(index_nodes(dag)["Trainer"])["provenance"]["code"] == fingerprint.fingerprint_code(
        "trainer.train"
    )


def test_the_exporter_and_the_baseline_are_told_their_parameters(dag):
    exporter = index_nodes(dag)["TFLiteExporter"].exec_properties
    assert (exporter["size"], exporter["push"], exporter["calibration_images"]) == (64, "int8", 200)
    baseline = index_nodes(dag)["BaselineModel"].exec_properties
    assert (baseline["serving_directory"], baseline["version"]) == ("/output/serving_model", "1700000000")


def test_each_pusher_has_its_folder(dag):
    folders = {
        name: json.loads(index_nodes(dag)[name].exec_properties["push_destination"])["filesystem"]["base_directory"]
        for name in ("Pusher", "Pusher.tflite")
    }
    assert folders == {"Pusher": "/output/serving_model", "Pusher.tflite": "/output/tflite"}


def test_the_gates_look_at_the_test_split_only(dag):
    for name in ("Evaluator", "Evaluator.tflite"):
        assert json.loads(index_nodes(dag)[name].exec_properties["example_splits"]) == ["test"]


def test_training_sees_the_train_split_and_early_stopping_the_eval_split(dag):
    properties = index_nodes(dag)["Trainer"].exec_properties
    assert json.loads(properties["train_args"])["splits"] == ["train"]
    assert json.loads(properties["eval_args"])["splits"] == ["eval"]


def list_parameters(settings, **changes):
    """What the cache looks at, by node: the parameters."""
    return {name: node.exec_properties for name, node in index_nodes(create(settings, **changes)).items()}


def find_changed_nodes(settings, **changes):
    before, after = list_parameters(CONFIG), list_parameters(settings, **changes)
    return {name for name in before if before[name] != after[name]}


def test_equal_configurations_give_equal_parameters():
    assert find_changed_nodes(CONFIG.model_copy()) == set()


@pytest.mark.parametrize(
    ("section", "value", "expected"),
    [
        ("trainer", {"head_epochs": 3}, {"Trainer"}),
        ("image", {"size": 96}, {"Transform", "Trainer", "TFLiteExporter"}),
        ("augmentation", {"rotation": 10.0}, {"Transform", "Trainer"}),  # the latter by the model's provenance
        ("evaluator", {"min_accuracy": 0.95}, {"Evaluator"}),
        ("evaluator", {"max_accuracy_drop": 0.5}, {"Evaluator"}),
        ("evaluator", {"slices": ("kind",)}, {"Evaluator"}),
        ("tflite", {"max_disagreement": 0.5}, {"Evaluator.tflite"}),
        ("tflite", {"push": ("float",)}, {"TFLiteExporter", "Evaluator.tflite", "Pusher.tflite"}),
        ("ingest", {"store_size": 64}, set()),  # it changes the records
    ],
)
def test_a_changed_value_reaches_the_nodes_that_depend_on_it_and_no_others(section, value, expected):
    assert find_changed_nodes(replace_values(section, **value)) == expected


def test_the_trainer_is_told_what_a_client_must_know():
    settings = replace_values("ingest", max_pixels=2_000_000)
    want = {"size": 64, "resize": "pad", "store_size": 96, "max_pixels": 2_000_000, "jpeg_quality": 95}
    assert (
        read_custom_config(index_nodes(create(settings, data={"store_size": 96}))["Trainer"])["preprocessing"] == want
    )
    assert read_custom_config(index_nodes(create(settings))["Trainer"])["preprocessing"] == want | {"store_size": None}
    assert find_changed_nodes(CONFIG, data={"store_size": 96}) == {"Trainer"}


def test_changed_data_or_another_baseline_reach_the_nodes_that_depend_on_them():
    assert find_changed_nodes(CONFIG, data={"fingerprint": "fedcba9876543210"}) == {"Trainer"}
    assert find_changed_nodes(CONFIG, baseline_version="") == {"BaselineModel"}


def test_changed_code_reaches_the_nodes_that_run_it(monkeypatch):
    before = list_parameters(CONFIG)
    real = fingerprint.fingerprint_code
    monkeypatch.setattr(
        node_configs, "fingerprint_code", lambda name: "edited" if name == "trainer.train" else real(name)
    )
    after = list_parameters(CONFIG)
    assert {name for name in before if before[name] != after[name]} == {"Trainer"}


def test_given_splits_are_read_as_they_are(dag):
    properties = index_nodes(dag)["ImportExampleGen"].exec_properties
    splits = json.loads(properties["input_config"])["splits"]
    assert [(split["name"], split["pattern"]) for split in splits] == [
        ("train", "train/*"),
        ("eval", "eval/*"),
        ("test", "test/*"),
    ]
    assert not json.loads(properties["output_config"])
    assert properties["input_base"] == "/data"


def test_a_single_set_is_split_by_a_hash():
    properties = index_nodes(create(replace_values("data", split_buckets=(6, 3, 1)), data={"splits": {"all": "*"}}))[
        "ImportExampleGen"
    ].exec_properties
    (split,) = json.loads(properties["input_config"])["splits"]
    assert split["pattern"] == "*"
    splits = json.loads(properties["output_config"])["split_config"]["splits"]
    assert [(split["name"], split["hash_buckets"]) for split in splits] == [("train", 6), ("eval", 3), ("test", 1)]


def test_provenance_tells_trainings_apart_by_what_they_depend_on():
    ours = node_configs.collect_provenance(CONFIG, "data")
    assert node_configs.collect_provenance(replace_values("evaluator", min_accuracy=0.5), "data") == ours
    assert node_configs.collect_provenance(replace_values("tflite", push=("float",)), "data") == ours
    assert node_configs.collect_provenance(replace_values("trainer", seed=1), "data") != ours
    assert node_configs.collect_provenance(replace_values("augmentation", copies=3), "data") != ours
    assert node_configs.collect_provenance(CONFIG, "other data") != ours
    assert json.loads(json.dumps(ours)) == ours


def test_the_pipeline_has_its_name_root_cache_and_runner(dag):
    assert dag.pipeline_info.pipeline_name == "pets"
    assert dag.pipeline_info.pipeline_root == "/output/pipeline_root"
    assert dag.enable_cache
    assert list(dag.beam_pipeline_args) == list(pipeline_options.IN_MEMORY)
    assert dag.metadata_connection_config is None
    assert not create(enable_cache=False).enable_cache
    database = metadata.sqlite_metadata_connection_config("/output/metadata.db")
    assert create(metadata_connection_config=database).metadata_connection_config == database


def test_every_beam_node_gets_the_options_of_the_configured_runner():
    settings = CONFIG.model_copy(
        update={
            "beam": config.Beam(runner="dataflow", workers=3, temp_location="gs://bucket/temp"),
            "kubeflow": config.Kubeflow(project="p", region="r", service_account="s"),
            "style": config.Style(enabled=True),
        }
    )
    expected = [
        "--runner=DataflowRunner",
        "--max_num_workers=3",
        "--project=p",
        "--region=r",
        "--service_account_email=s",
        "--temp_location=gs://bucket/temp",
    ]
    dag = create(settings, contents=ContentImages("photos"), places={"style_store": "/renders"})
    given = {
        name: node.executor_spec.beam_pipeline_args
        for name, node in index_nodes(dag).items()
        if hasattr(node.executor_spec, "beam_pipeline_args")
    }
    assert given == dict.fromkeys(
        ("ImportExampleGen", "StatisticsGen", "Transform", "Evaluator", "Evaluator.tflite", "StyleRenderer"), expected
    )


def test_a_run_on_a_cluster_has_the_same_folders_but_keeps_no_training_state():
    local = Places.from_root("/output", keep_training_state=True)
    assert local == Places(
        pipeline_root="/output/pipeline_root",
        serving_directory="/output/serving_model",
        tflite_directory="/output/tflite",
        style_store="/output/renders",
        stylizer_directory="/output/stylizer",
        reference_store="/output/stylizer_references",
        state_directory="/output/training_state",
    )
    cluster = Places.from_root("gs://bucket/atelier/", keep_training_state=False)
    assert (cluster.pipeline_root, cluster.state_directory) == ("gs://bucket/atelier/pipeline_root", "")


def test_create_pipeline_takes_at_most_twelve_arguments():
    assert len(inspect.signature(pipeline.create_pipeline).parameters) <= 12


STYLIZER = {
    "StyleCatalog": set(),
    "StylizerTrainer": {"StyleCatalog", "ImportExampleGen", "AnomalyGate"},
    "StylizerEvaluator": {"StyleCatalog", "StylizerTrainer", "ImportExampleGen", "AnomalyGate"},
    "Pusher.stylizer": {"StylizerTrainer", "StylizerEvaluator"},
}


def test_the_stylizer_adds_its_own_nodes_and_shares_the_catalog():
    found = index_nodes(create(replace_values("stylizer", enabled=True)))
    assert {name: {up.id for up in node.upstream_nodes} for name, node in found.items()} == EDGES | STYLIZER
    assert found["Pusher.stylizer"].inputs["model_blessing"].producer_component_id == "StylizerEvaluator"
    assert found["Pusher.stylizer"].inputs["model"].producer_component_id == "StylizerTrainer"
    assert found["StylizerEvaluator"].inputs["model"].producer_component_id == "StylizerTrainer"
    assert "/output/stylizer" in found["Pusher.stylizer"].exec_properties["push_destination"]
    trainer, evaluator = (found[name].exec_properties for name in ("StylizerTrainer", "StylizerEvaluator"))
    assert (trainer["contents"], evaluator["held_out"]) == ("split:train", "split:test")
    assert (trainer["image_key"], evaluator["image_key"]) == ("image", "image")
    assert evaluator["style_size"] == json.loads(trainer["settings"])["style_size"] == 512
    assert trainer["code"] == fingerprint.fingerprint_code("components.stylizer_trainer.component")
    both = CONFIG.model_copy(
        update={"style": config.Style(enabled=True), "stylizer": config.Stylizer(enabled=True, contents="photos")}
    )
    edges = {name: {up.id for up in node.upstream_nodes} for name, node in index_nodes(create(both)).items()}
    assert edges["StylizerTrainer"] == {"StyleCatalog"}  # packages' photographs are no data with anomalies
    assert edges.keys() == EDGES.keys() | STYLIZER.keys() | {"StyleRenderer"}
