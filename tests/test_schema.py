"""The schema that ships, and what a user's own may and may not say."""

import pytest

from labels.errors import SchemaError
from labels.schema import EntityLabel, LabelSchema, load_schema, parse_schema

SMALL = """
name = "small"
[[entity]]
name = "PER"
[[entity]]
name = "PLACE"
[[event]]
name = "flood"
[[role]]
name = "where"
labels = ["PLACE"]
"""


def test_the_default_schema_has_the_labels_of_the_guide():
    schema = load_schema()
    assert schema.entity_labels == ("ACTOR", "LOCATION")
    assert schema.tags == ("O", "B-ACTOR", "I-ACTOR", "B-LOCATION", "I-LOCATION")
    assert schema.role_names == ("agents", "targets", "locations")
    assert len(schema.event_types) == 12
    assert [label.prefix for label in schema.entities] == ["a", "l"]


def test_every_label_of_the_default_schema_is_explained_in_two_languages():
    schema = load_schema()
    for item in (*schema.entities, *schema.events, *schema.roles):
        assert item.gloss_en, item.name
        assert any("\u0621" <= sign <= "\u064a" for sign in item.gloss_ar), item.name
        assert item.definition, item.name


def test_a_users_schema_is_followed():
    schema = parse_schema(SMALL)
    assert schema.entity_labels == ("PER", "PLACE")
    assert [label.prefix for label in schema.entities] == ["per", "place"]  # both begin with p
    assert schema.event_types == ("flood",)
    assert schema.roles[0].labels == ("PLACE",)


def test_either_part_may_be_absent():
    assert parse_schema('[[event]]\nname = "flood"\n').tags == ()
    assert parse_schema('[[entity]]\nname = "PER"\n').event_types == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither entity labels nor event types"),
        ("name = ", "not TOML"),
        ('colour = "red"\n' + SMALL, "unknown key 'colour'"),
        ('[entity]\nname = "PER"\n', r"\[\[entity\]\]"),
        ('entity = "PER"\n', r"\[\[entity\]\]"),
        ('[[entity]]\nname = "P E R"\n', "must match"),
        ('[[entity]]\nname = "PER"\n[[entity]]\nname = "PER"\n', "twice"),
        ('[[entity]]\nnom = "PER"\n', "nom"),
        ('[[entity]]\nname = "PER"\nprefix = "x y"\n', "prefix 'x y'"),
        ('[[entity]]\nname = "PER"\nprefix = "x"\n[[entity]]\nname = "ORG"\nprefix = "x"\n', "prefix 'x'"),
        (SMALL + '[[role]]\nname = "who"\nlabels = ["ORG"]\n', "unknown labels"),
        (SMALL + '[[role]]\nname = "trigger"\nlabels = ["PER"]\n', "a name that a record needs"),
        (SMALL + '[[role]]\nname = "who"\n', "labels"),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(text, message):
    with pytest.raises(SchemaError, match=message) as caught:
        parse_schema(text, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SchemaError, match=r"none\.toml: cannot be read"):
        load_schema(tmp_path / "none.toml")


def test_the_fingerprint_follows_names_and_order_only():
    schema = parse_schema(SMALL)
    reworded = parse_schema(SMALL.replace('name = "PER"', 'name = "PER"\ndefinition = "a person"'))
    renamed = parse_schema(SMALL.replace("flood", "fire"))
    turned = parse_schema(SMALL.replace("PER", "x").replace("PLACE", "PER").replace("x", "PLACE"))
    assert reworded.fingerprint == schema.fingerprint
    assert len({schema.fingerprint, renamed.fingerprint, turned.fingerprint}) == 3


def test_an_unknown_label_names_the_known_ones():
    schema = LabelSchema("x", (EntityLabel("PER", "p"),))
    assert schema.entity("PER").prefix == "p"
    with pytest.raises(SchemaError, match="'ORG'; known: PER"):
        schema.entity("ORG")
