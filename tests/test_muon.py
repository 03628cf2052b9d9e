import copy

import pytest
import torch
from torch import nn
from torch.optim import Muon

from training.muon import StackedMuon, orthogonalize

COEFFICIENTS = (3.4445, -4.775, 2.0315)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 48), (2, 48, 16)], ids=["square", "wide", "tall"])
def test_singular_values_are_brought_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape), COEFFICIENTS, 5, 1e-7).float())
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.4


def test_steps_are_those_of_torch() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(16, 48, bias=False), nn.Linear(48, 16, bias=False), nn.Linear(16, 16, bias=False))
    other = copy.deepcopy(model)
    ours = StackedMuon(model.parameters(), lr=1e-2, weight_decay=0.1, compile=False)
    theirs = Muon(other.parameters(), lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        before = [p.detach().clone() for p in model.parameters()]
        ours.step()
        theirs.step()
        for p, q, start in zip(model.parameters(), other.parameters(), before, strict=True):
            moved = float((q.detach() - start).norm())
            assert moved > 0
            assert float((p - q).detach().norm()) < 0.1 * moved  # bfloat16 rounds in another order
            q.data.copy_(p.data)


def test_a_parameter_without_gradient_stays() -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    StackedMuon([weight], lr=1e-2, weight_decay=0.1, compile=False).step()
    assert torch.equal(weight, torch.ones(4, 4))
