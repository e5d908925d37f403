"""Attention and projection against hand-checked values."""

import math

import pytest
import torch
from torch import nn

from brats_mm.experiments.mmp.projection import CrossAttention, Projection, aggregate, attend, average_available


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def test_attention_is_softmax_of_scaled_products():
    """Scores 0 and ln 3 after division by sqrt 4 give weights of 1/4 and 3/4."""
    query = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    keys = torch.tensor([[0.0, 5.0, 0.0, 0.0], [2 * math.log(3), 0.0, 0.0, 0.0]])
    values = torch.tensor([[4.0], [8.0]])
    torch.testing.assert_close(attend(query, keys, values), torch.tensor([[7.0]]))


def test_masked_tokens_have_zero_weight():
    attended = attend(
        torch.ones(1, 2),
        torch.tensor([[9.0, 9.0], [0.0, 0.0]]),
        torch.tensor([[5.0], [1.0]]),
        torch.tensor([False, True]),
    )
    assert torch.equal(attended, torch.tensor([[1.0]]))


def test_cross_attention_projects_queries_keys_values_and_output():
    """One head of width 1. Scores are 2 * (1, 3) * 0.5 = (1, 3). Values are 10 times the tokens, halved at the end."""
    layer = CrossAttention(1, heads=1)
    with torch.no_grad():
        for name, value in {"query": 2.0, "key": 0.5, "value": 10.0, "out": 0.5}.items():
            layer.get_submodule(name).weight.fill_(value)
    tokens = torch.tensor([[[1.0], [3.0], [100.0]]])

    output = layer(torch.ones(1, 1, 1), tokens, torch.tensor([[True, True, False]]))

    second = math.exp(3) / (math.exp(1) + math.exp(3))
    assert float(output) == pytest.approx(5 * ((1 - second) * 1 + second * 3), rel=1e-6)


def test_each_head_uses_its_part_of_the_width():
    """With two heads of width 1, each feature is mixed by its own scores."""
    layer = CrossAttention(2, heads=2)
    with torch.no_grad():
        for name in ("query", "key", "value", "out"):
            layer.get_submodule(name).weight.copy_(torch.eye(2))
    tokens = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])

    output = layer(torch.tensor([[[0.0, 1000.0]]]), tokens, torch.ones(1, 2, dtype=torch.bool))

    torch.testing.assert_close(output, torch.tensor([[[0.5, 1.0]]]))


def test_aggregated_tokens_are_attention_means():
    """Products of the query 2 with tokens 0 and ln 2 give weights 1 : 4. A query of zeros gives the plain mean."""
    tokens = torch.tensor([[[0.0], [math.log(2)]]])
    tokens_out = aggregate(torch.tensor([[2.0], [0.0]]), tokens)
    torch.testing.assert_close(tokens_out, math.log(2) * torch.tensor([[[0.8], [0.5]]]))


def test_mean_is_over_available_modalities():
    tokens = torch.tensor([[[[2.0]], [[4.0]], [[90.0]]]])
    assert float(average_available(tokens, torch.tensor([[True, True, False]]))) == 3.0


def by_hand() -> Projection:
    """Return a projection of two modalities with one feature, one aggregated token, and simple numbers as weights."""
    layer = Projection(2, 1, aggregated=1, heads=1, hidden=1)
    with torch.no_grad():
        layer.queries.zero_()
        layer.own.copy_(torch.tensor([[[0.5]], [[7.0]]]))
        for relate in layer.relate:
            for name in ("query", "key", "out"):
                relate.get_submodule(name).weight.fill_(1.0)
            relate.value.weight.fill_(2.0)
        for project in layer.project:
            project[0].weight.copy_(torch.tensor([[1.0, 10.0]]))
            project[0].bias.zero_()
            project[2].weight.fill_(3.0)
            project[2].bias.fill_(1.0)
    return layer


def test_projected_tokens_by_hand():
    """Modality 1 shows tokens 1 and 3; modality 0 is masked.

    Aggregated: (1 + 3) / 2 = 2. Related: 0.5 + 2 * 2 = 4.5, the only one, so that it is spread everywhere. Projected:
    3 gelu(m + 10 * 4.5) + 1 with m = 1 and 3.
    """
    tokens = torch.tensor([[[[50.0], [60.0]], [[1.0], [3.0]]]])

    result = by_hand()(tokens, torch.tensor([[False, True]]))

    expected = [3 * float(nn.functional.gelu(torch.tensor(m + 45.0))) + 1 for m in (1.0, 3.0)]
    torch.testing.assert_close(result[0, 0, :, 0], torch.tensor(expected))
    torch.testing.assert_close(result[0, 0, :, 0], torch.tensor([139.0, 145.0]))


def test_without_mean_only_query_gives_position_to_mlp():
    """As above without m: 3 gelu(10 * 4.5) + 1 = 136 for both voxels, because only one related token is spread."""
    whole = by_hand()
    layer = Projection(2, 1, aggregated=1, heads=1, hidden=1, mean=False)
    state = {name: value[:, 1:] if name.endswith("0.weight") else value for name, value in whole.state_dict().items()}
    layer.load_state_dict(state)
    tokens = torch.tensor([[[[50.0], [60.0]], [[1.0], [3.0]]]])

    result = layer(tokens, torch.tensor([[False, True]]))

    torch.testing.assert_close(result[0, 0, :, 0], torch.tensor([136.0, 136.0]))


def test_available_modalities_are_related_by_scores():
    """Three modalities, the last one masked. The weights of the aggregated tokens 0 and ln 3 are 1 : 3 where P is 1."""
    layer = Projection(3, 1, aggregated=1, heads=1, hidden=1)
    with torch.no_grad():
        layer.queries.zero_()
        layer.own.fill_(1.0)
        for name in ("query", "key", "value", "out"):
            layer.relate[2].get_submodule(name).weight.fill_(1.0)
        layer.project[2][0].weight.copy_(torch.tensor([[0.0, 1.0]]))
        layer.project[2][0].bias.fill_(20.0)  # large, where GELU is the identity
        layer.project[2][2].weight.fill_(1.0)
        layer.project[2][2].bias.fill_(-20.0)
    tokens = torch.tensor([[[[0.0]], [[math.log(3)]], [[8.0]]]])

    result = layer(tokens, torch.tensor([[True, True, False]]))

    assert float(result[0, 2]) == pytest.approx(1 + 0.75 * math.log(3), abs=1e-5)


def test_masked_modalities_do_not_reach_projection():
    torch.manual_seed(0)
    layer = Projection(4, 8, aggregated=3, heads=2)
    tokens, available = torch.randn(2, 4, 5, 8), torch.tensor([[True, False, True, False], [False, False, False, True]])
    other = torch.where(available[:, :, None, None], tokens, torch.randn(2, 4, 5, 8))

    torch.testing.assert_close(layer(tokens, available), layer(other, available))
