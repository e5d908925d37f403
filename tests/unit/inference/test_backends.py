"""PyTorch and OpenVINO give the same results, and converted models are cached safely."""

import importlib.util
import logging
import os
import time

import pytest
import torch
from torch import nn

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import OptionError
from brats_mm.inference.backend import TorchBackend, mix
from brats_mm.inference.choice import choose_backend
from brats_mm.inference.openvino_cache import CACHE_VARIABLE, CompiledCache, locate_cache_folder
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.gating import GatingNetwork, SpatialGate
from brats_mm.networks.levels import FeatureExpert, LogitOfProbability, ProbabilityExpert
from tests.fakes.networks import tiny_mixture

CPU = torch.device("cpu")
FLAIR = frozenset({Modality.FLAIR})


def mixture(wrap=lambda expert: expert, output_layer=None, outputs=3):
    """Return a small mixture of U-Nets with six levels like the shipped ones, and random norms."""
    torch.manual_seed(0)
    experts = {m.value: wrap(UNetExpert((2, 3, 4, 4, 4, 4))) for m in MODALITIES}
    network = DMoME(experts, GatingNetwork(modalities=4, outputs=outputs), output_layer)
    for name, parameter in network.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, mean=0.7, std=0.3)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network():
    return mixture()


@pytest.fixture
def openvino(network, tmp_path):
    pytest.importorskip("openvino")
    from brats_mm.inference.openvino_backend import OpenVinoBackend

    return lambda: OpenVinoBackend(network, weights_sha256="a", precision="float32", folder=tmp_path)


def image(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def both(first, second, *shape):
    given = image(*shape)
    with torch.inference_mode():
        return mix(first, given, SUBSETS), mix(second, given, SUBSETS)


def test_mixing_parts_matches_network(network):
    given = image(2, 4, 32, 64, 32)
    with torch.inference_mode():
        result = mix(TorchBackend(network, CPU), given, SUBSETS)
        every = torch.tensor([to_flags(subset) for subset in SUBSETS]).repeat_interleave(2, dim=0)
        logits, weights = network.forward_with_weights(given, every)
    torch.testing.assert_close(result[0].flatten(0, 1), logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result[1].flatten(0, 1), weights)


def test_mixing_with_spatial_weights_matches_network(network):
    """The returned weights are the mean over the window."""
    torch.manual_seed(1)
    gate = SpatialGate(modalities=4, outputs=3, width=4)
    nn.init.normal_(gate.head.weight)
    spatial = DMoME(dict(network.experts.items()), gate).eval()
    given, subset = image(1, 4, 32, 64, 32), SUBSETS[12]
    with torch.inference_mode():
        result = mix(TorchBackend(spatial, CPU), given, [subset])
        logits, weights = spatial.forward_with_weights(given, torch.tensor([to_flags(subset)]))
    torch.testing.assert_close(result[0][0], logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result[1][0], weights.mean(dim=(3, 4, 5)))


@pytest.mark.parametrize("shape", [(1, 4, 64, 32, 32), (2, 4, 48, 64, 32)])
def test_openvino_matches_pytorch(network, openvino, shape):
    """Includes batches, and sides that are odd multiples of 16."""
    expected, result = both(TorchBackend(network, CPU), openvino(), *shape)
    torch.testing.assert_close(result[0], expected[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(result[1], expected[1])


@pytest.mark.parametrize(
    ("wrap", "output_layer", "outputs"),
    [(ProbabilityExpert, LogitOfProbability(), 3), (FeatureExpert, nn.Conv3d(2, 3, 1), 1)],
    ids=["probability", "feature"],
)
def test_other_mixing_levels_run_in_openvino(wrap, output_layer, outputs):
    pytest.importorskip("openvino")
    from brats_mm.inference.openvino_backend import OpenVinoBackend

    other = mixture(wrap, output_layer, outputs)
    expected, result = both(TorchBackend(other, CPU), OpenVinoBackend(other, precision="float32"), 1, 4, 64, 32, 32)
    torch.testing.assert_close(result[0], expected[0], rtol=2e-3, atol=2e-3)


def test_autocast_is_close_to_float32(network):
    backend = TorchBackend(network, CPU, autocast=True)
    assert backend.precision == "bfloat16"
    expected, result = both(TorchBackend(network, CPU), backend, 1, 4, 64, 32, 32)
    assert result[0].dtype == torch.float32
    assert (result[0].sigmoid() - expected[0].sigmoid()).abs().mean() < 0.01


def contribution(backend):
    with torch.inference_mode():
        return backend.compute_contribution(Modality.T1, image(1, 1, 64, 32, 32))


def test_converted_expert_is_cached(openvino, tmp_path, monkeypatch):
    first = contribution(openvino())
    assert [path.name.split("-")[0] for path in (tmp_path / "openvino").iterdir()] == ["t1"]
    monkeypatch.setattr("brats_mm.inference.openvino_backend.build_graph", None)
    torch.testing.assert_close(contribution(openvino()), first)


def test_damaged_cache_file_is_recreated(openvino, tmp_path, caplog):
    first = contribution(openvino())
    (kept,) = (tmp_path / "openvino").iterdir()
    good = kept.read_bytes()
    for damaged in (b"", good[:-100], good[:500] + b"x" + good[501:]):
        kept.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            torch.testing.assert_close(contribution(openvino()), first)
        assert "which is damaged" in caplog.text
        caplog.clear()
        contribution(openvino())
        assert "damaged" not in caplog.text
        caplog.clear()


def test_compiled_model_rejected_by_openvino_is_recreated(openvino, caplog):
    backend = openvino()
    backend._cache.store("t1", b"of another version")
    with caplog.at_level(logging.WARNING):
        assert contribution(backend).shape == (1, 3, 64, 32, 32)
    assert "cannot be loaded" in caplog.text


def test_unwritable_cache_is_no_error(network, tmp_path):
    pytest.importorskip("openvino")
    from brats_mm.inference.openvino_backend import OpenVinoBackend

    (tmp_path / "file").touch()
    assert contribution(OpenVinoBackend(network, weights_sha256="a", folder=tmp_path / "file")).isfinite().all()


def test_other_weights_have_other_cache_name(tmp_path):
    one, other = (CompiledCache(tmp_path, (digest, "1")) for digest in ("a", "b"))
    one.store("t1", b"compiled")
    assert one.load("t1") == b"compiled"
    assert other.load("t1") is None
    assert [path.name for path in (tmp_path / "openvino").iterdir()] == [one.make_path("t1").name]


def test_cache_folder_can_be_set(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert locate_cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert "brats-mm" in str(locate_cache_folder())


def test_auto_is_openvino_if_installed_and_supported(network, monkeypatch):
    installed = importlib.util.find_spec("openvino") is not None
    assert choose_backend("auto", network, CPU).name == ("openvino" if installed else "torch")
    assert choose_backend("auto", tiny_mixture(), CPU).name == "torch"
    assert choose_backend("torch", network, CPU).name == "torch"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_backend("auto", network, CPU).name == "torch"


def test_unavailable_backend_reports_reason(network, monkeypatch):
    with pytest.raises(OptionError, match="Choose one of auto, torch, openvino"):
        choose_backend("onnx", network, CPU)
    with pytest.raises(OptionError, match="runs on the CPU"):
        choose_backend("openvino", network, torch.device("cuda"))
    if importlib.util.find_spec("openvino") is not None:
        with pytest.raises(OptionError, match="mixtures of U-Net experts"):
            choose_backend("openvino", tiny_mixture(), CPU)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match="not installed"):
        choose_backend("openvino", network, CPU)


def test_long_unused_models_are_deleted(tmp_path):
    old, used, new = (CompiledCache(tmp_path, (version,)) for version in ("0", "1", "2"))
    for cache in (old, used):
        cache.store("t1", b"compiled")
        long_ago = time.time() - 61 * 86400
        os.utime(cache.make_path("t1"), (long_ago, long_ago))
    assert used.load("t1") == b"compiled"
    new.store("t1", b"compiled")
    assert old.load("t1") is None
    assert used.load("t1") == new.load("t1") == b"compiled"
