"""What a batch consists of, and that a unit's key holds all that its image depends on."""

import subprocess
import sys

import pytest

from components.style_renderer.batch import units
from components.style_renderer.engine.settings import Settings
from tests.components.style_renderer import fake_engine

A, B = "a" * 64, "b" * 64
CONTENT = units.Content("sub/My Cat.jpg", A, 20, 32)


def compute_key(content=A, style=B, picture_format="jpeg", code="1", engine="finest", stylizer="", **settings):
    return units.compute_key(content, style, Settings(**settings), picture_format, units.Method(engine, code, stylizer))


def test_equal_inputs_have_equal_keys():
    assert compute_key(seed=0) == compute_key()
    assert len(compute_key()) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"content": B},
        {"style": A},
        {"content": B, "style": A},
        {"picture_format": "png"},
        {"code": "2"},
        {"engine": "fast"},
        {"engine": "refined"},
        {"engine": "fast", "stylizer": A},
        {"strength": 0.5},
        {"seed": 1},
        {"colors": "match"},
        {"style_scale": 1.5},
        {"scales": [{"size": 128, "iterations": 150}]},
        {"tv_weight": 0.0},
        {"precision": "bfloat16"},
    ],
)
def test_whatever_changes_the_image_changes_the_key(changed):
    assert compute_key(**changed) != compute_key()


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_every_setting_is_in_the_key(name):
    changed = Settings().model_copy(update={name: "another"})
    assert units.compute_key(A, B, changed, "jpeg", units.Method(code="1")) != compute_key()


def test_every_content_is_planned_in_every_style_at_every_strength(tmp_path):
    red, blue = (fake_engine.make_style(tmp_path, *pair) for pair in (("red", "#f00"), ("blue", "#00f")))
    recipes = units.make_variants([(red, Settings()), (blue, Settings(seed=4))], (0.25, 1.0))
    assert [(r.style.id, r.settings.strength, r.settings.seed) for r in recipes] == [
        ("red", 0.25, 0),
        ("red", 1.0, 0),
        ("blue", 0.25, 4),
        ("blue", 1.0, 4),
    ]
    other = units.Content("z.png", B, 20, 32)
    planned = units.plan_units([other, CONTENT], recipes, "jpeg", units.Method(code="1"))
    assert [(unit.content, unit.variant) for unit in planned] == [(c, r) for c in (other, CONTENT) for r in range(4)]
    assert len({unit.key for unit in planned}) == 8
    assert planned[4].stem == f"my-cat--red--s0.25--{planned[4].key[:12]}"
    assert planned[5].stem == f"my-cat--red--s1--{planned[5].key[:12]}"


def test_a_style_without_strengths_keeps_its_own_and_names_none(tmp_path):
    recipes = units.make_variants([(fake_engine.make_style(tmp_path, "red", "#f00"), Settings(strength=0.7))], ())
    assert recipes[0].settings.strength == 0.7
    (unit,) = units.plan_units([CONTENT], recipes, "jpeg", units.Method(code="1"))
    assert unit.stem == f"my-cat--red--{unit.key[:12]}"


def test_a_strength_out_of_range_is_refused(tmp_path):
    with pytest.raises(ValueError, match="less than or equal to 1"):
        units.make_variants([(fake_engine.make_style(tmp_path, "red", "#f00"), Settings())], (2.0,))


@pytest.mark.slow
def test_planning_and_the_gallery_do_not_load_tensorflow():
    modules = "units, manifest, contents, rendering, batch"
    code = (
        f"import sys; from components.style_renderer.batch import {modules}; "
        "from components.style_renderer.gallery import gallery; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
