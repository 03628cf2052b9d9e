from pathlib import Path

import pytest
import torch

from labels.errors import ConfigError
from tests.tiny import tiny_encoder
from training.model import JointModel, LossWeights, joint_loss, load_encoder, load_joint, save_joint


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def test_padding_changes_no_score(encoder: Path) -> None:
    model = JointModel(load_encoder(str(encoder)), n_tags=5, n_types=3).eval()
    ids = torch.randint(5, 100, (1, 9))
    padded = torch.cat([ids, torch.full((1, 6), 0)], 1)
    mask = torch.tensor([[1] * 9 + [0] * 6])
    with torch.no_grad():
        alone, together = model(ids, torch.ones_like(ids)), model(padded, mask)
    torch.testing.assert_close(together["tag_scores"][:, :9], alone["tag_scores"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together["event_scores"], alone["event_scores"], atol=1e-4, rtol=1e-4)


def test_dropout_reaches_the_encoder(encoder: Path) -> None:
    model = JointModel(load_encoder(str(encoder), 0.3), n_tags=5, n_types=3, dropout=0.0).train()
    assert model.encoder.config.hidden_dropout_prob == 0.3
    ids = torch.randint(5, 100, (1, 9))
    first, second = (model(ids, torch.ones_like(ids))["tag_scores"] for _ in range(2))
    assert not torch.equal(first, second)


def test_triggers_add_to_the_loss_only_where_gold_says(encoder: Path) -> None:
    model = JointModel(load_encoder(str(encoder)), n_tags=0, n_types=3).eval()
    ids = torch.randint(5, 100, (2, 4))
    with torch.no_grad():
        scores = model(ids, torch.ones_like(ids))
    types, unknown = torch.zeros(2, 3), torch.full((2, 4, 3), -100.0)

    def loss(triggers: torch.Tensor) -> float:
        return float(joint_loss(scores, tags=None, types=types, triggers=triggers, weights=LossWeights(), positive_weight=None))

    without = float(joint_loss(scores, tags=None, types=types, triggers=None, weights=LossWeights(), positive_weight=None))
    assert loss(unknown) == pytest.approx(without)
    present = torch.zeros(2, 4, 3)
    present[0, 1, 2] = 1.0
    assert loss(present) > loss(torch.zeros(2, 4, 3)) > without  # the head begins by expecting no trigger


def test_borders_add_to_the_loss_only_where_a_name_begins(encoder: Path) -> None:
    model = JointModel(load_encoder(str(encoder)), n_tags=5, n_types=0, n_borders=3).eval()
    ids = torch.randint(5, 100, (2, 4))
    scores = model(ids, torch.ones_like(ids))
    nothing = torch.full((2, 4), -100)

    def loss(borders: torch.Tensor) -> torch.Tensor:
        weights = LossWeights(borders=2.0)
        return joint_loss(scores, tags=None, types=None, triggers=None, weights=weights, positive_weight=None, borders=borders)

    assert loss(nothing).item() == 0.0  # a batch without names, and no mean over none
    asked = nothing.clone()
    asked[1, 2] = 1
    expected = torch.nn.functional.cross_entropy(scores["border_scores"][1, 2][None], torch.tensor([1]))
    assert loss(asked).item() == pytest.approx(2.0 * expected.item())
    loss(asked).backward()
    assert model.border_head is not None
    assert model.border_head.weight.grad is not None
    assert bool(model.border_head.weight.grad.abs().sum() > 0)


def test_a_border_head_does_not_change_the_others(encoder: Path) -> None:
    """It is made after them, so that a seed gives the heads it has always given."""
    heads = []
    for n_borders in (0, 3):
        torch.manual_seed(5)
        heads.append(JointModel(load_encoder(str(encoder)), n_tags=5, n_types=3, n_borders=n_borders).state_dict())
    without, with_borders = heads
    assert with_borders.keys() - without.keys() == {"border_head.weight", "border_head.bias"}
    for name, value in without.items():
        assert torch.equal(value, with_borders[name]), name


@pytest.mark.parametrize("n_borders", [0, 2, 4])
def test_the_saved_heads_say_whether_there_are_borders(n_borders: int, encoder: Path, tmp_path: Path) -> None:
    model = JointModel(load_encoder(str(encoder)), n_tags=5, n_types=3, n_borders=n_borders).eval()
    save_joint(model, tmp_path)
    again = load_joint(tmp_path, n_tags=5, n_types=3)
    assert (again.border_head is None) == (n_borders == 0)
    for (name, expected), found in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)


def test_saved_and_loaded_are_the_same_and_another_label_set_is_refused(encoder: Path, tmp_path: Path) -> None:
    model = JointModel(load_encoder(str(encoder)), n_tags=5, n_types=3).eval()
    save_joint(model, tmp_path)
    again = load_joint(tmp_path, n_tags=5, n_types=3)
    for (name, expected), found in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)
    with pytest.raises(ConfigError, match="4 tags"):
        load_joint(tmp_path, n_tags=4, n_types=3)
    with pytest.raises(ConfigError, match="3 event types"):
        load_joint(tmp_path, n_tags=0, n_types=3)


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        load_encoder(str(tmp_path / "nothing"))
