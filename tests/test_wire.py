import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.types import Document, Failure
from serving.errors import HTTP_STATUS, Code, code_of_status
from serving.wire import AnalyzeRequest, AnalyzeResponse, parse_documents


def failure(item) -> Failure:
    [parsed] = parse_documents([item])
    assert isinstance(parsed, Failure)
    assert parsed.code == "invalid_document"
    return parsed


def test_a_document_is_taken_as_it_is():
    item = {"id": "d1", "text": " قال\r\n", "published": "2016-06-01", "source": "وكالة"}
    assert parse_documents([item, {"id": "d1", "text": ""}]) == [
        Document("d1", " قال\r\n", "2016-06-01", "وكالة"),
        Document("d1", ""),
    ]


@pytest.mark.parametrize(
    ("item", "identity", "message"),
    [
        (7, None, "documents[0]: expected an object, found 7"),
        (None, None, "documents[0]: expected an object, found None"),
        ([], None, "documents[0]: expected an object, found list"),
        ({"id": "d"}, "d", "documents[0].text: is missing"),
        ({"text": "ا"}, None, "documents[0].id: is missing"),
        ({"id": "d", "text": 5}, "d", "documents[0].text: expected a string, found 5"),
        ({"id": "d", "text": None}, "d", "documents[0].text: expected a string, found None"),
        ({"id": 5, "text": "ا"}, None, "documents[0].id: expected a string, found 5"),
        ({"id": "", "text": "ا"}, None, "documents[0].id: expected at least 1 character, found ''"),
        ({"id": "x" * 513, "text": "ا"}, None, "documents[0].id: expected at most 512 characters, found 'xxx"),
        (
            {"id": "\ud800", "text": "ا"},
            None,
            "documents[0].id: expected Unicode text, without lone surrogates, found '\\ud800'",
        ),
        ({"id": "d", "text": "ا", "published": "1.6.2016"}, "d", "documents[0].published: expected a date such as 2016-06-01"),
        ({"id": "d", "text": "ا", "published": "20160601"}, "d", "documents[0].published: expected a date such as"),
        ({"id": "d", "text": "ا", "published": 2016}, "d", "documents[0].published: expected a string, found 2016"),
        ({"id": "d", "text": "ا", "lang": "ar"}, "d", "documents[0].lang: unknown field; known: id, text, published, source"),
    ],
)
def test_a_bad_document_names_the_field(item, identity, message):
    found = failure(item)
    assert found.id == identity
    assert found.message.startswith(message)


def test_all_faults_of_a_document_are_told():
    message = failure({"text": 5, "x": 1}).message
    assert "documents[0].id: is missing" in message
    assert "documents[0].text: expected a string" in message
    assert "documents[0].x: unknown field" in message


def test_each_item_is_judged_alone():
    first, bad, last = parse_documents([{"id": "1", "text": ""}, "x", {"id": "3", "text": ""}])
    assert (first.id, last.id) == ("1", "3")
    assert bad.message.startswith("documents[1]: ")


any_text = st.text(st.characters(exclude_categories=()), max_size=5)  # lone surrogates too: JSON can hold them
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text | st.sampled_from(["id", "text"]), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=5))
def test_anything_json_can_hold_gets_an_answer_that_can_be_sent(items):
    parsed = parse_documents(items)
    assert len(parsed) == len(items)
    for answer in parsed:
        assert answer.id is None or answer.id.encode()
        if isinstance(answer, Failure):
            answer.message.encode()


def test_the_request_schema_shows_a_document():
    [items] = [AnalyzeRequest.model_json_schema()["properties"]["documents"]["items"]]
    assert items["required"] == ["id", "text"]
    assert items["additionalProperties"] is False


def test_the_response_model_takes_roles_of_any_schema_and_refuses_slips():
    event = {"type": "t", "score": 0.5, "sentence": 0, "trigger": None, "perpetrators": ["a1"]}
    result = {"id": "d", "model": "m", "sentences": [], "entities": [], "events": [event], "event_types": {}, "warnings": []}
    AnalyzeResponse.model_validate({"results": [result, {"id": None, "error": {"code": "c", "message": "m"}}]})
    with pytest.raises(ValueError, match="warning"):
        AnalyzeResponse.model_validate({"results": [result | {"warning": []}]})


def test_each_status_gives_its_code_back():
    for code, status in HTTP_STATUS.items():
        assert code_of_status(status) == code
    assert code_of_status(418) == Code.INVALID_REQUEST
    assert code_of_status(599) == Code.INTERNAL
