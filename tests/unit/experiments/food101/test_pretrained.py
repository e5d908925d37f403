"""The experts of Food-101 start from local weights, and report missing ones."""

import builtins

import pytest
import torch

from brats_mm.errors import BundleError, OptionError
from brats_mm.experiments.avmnist import presets as avmnist
from brats_mm.experiments.food101 import presets as food101
from brats_mm.experiments.food101.pretrained import TextExpert, build_bert_expert, build_inception_expert
from tests.fakes.classification_data import LetterEncoder


def torchvision_or_skip():
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:  # built for another torch
        pytest.skip(f"torchvision cannot be loaded: {error}")
    return torchvision


@pytest.mark.parametrize("library", ["torchvision", "transformers"])
def test_missing_library_error_names_package(library, monkeypatch):
    ordinary = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == library:
            raise ImportError(f"No module named {library!r}")
        return ordinary(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    modality = {"torchvision": "image", "transformers": "text"}[library]
    with pytest.raises(OptionError, match=r'pip install "brats-mm\[food101\]"'):
        food101.expert(modality, inception_weights=None, bert_folder="bert")


def test_text_expert_has_linear_head_on_pooled_output():
    torch.manual_seed(0)
    expert = TextExpert(LetterEncoder(), width=8, classes=5).eval()
    text = torch.ones(2, 2, 4, dtype=torch.long)
    pooled = expert.encoder(text[:, 0], text[:, 1]).pooler_output
    torch.testing.assert_close(expert(text), expert.head(pooled))
    assert expert(text).shape == (2, 5)


def test_bert_is_read_only_from_local_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    shape = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 30,
    }
    transformers.BertModel(transformers.BertConfig(**shape)).save_pretrained(tmp_path / "bert")
    expert = build_bert_expert(tmp_path / "bert", classes=3).eval()
    assert expert(torch.ones(2, 2, 5, dtype=torch.long)).shape == (2, 3)
    with pytest.raises(BundleError, match=r"contains no BERT model .* local folder"):
        build_bert_expert(tmp_path / "absent", classes=3)


def test_inception_loads_trained_weights_except_heads(tmp_path):
    torchvision = torchvision_or_skip()
    trained = torchvision.models.Inception3(num_classes=7, aux_logits=True, init_weights=False)
    torch.save(trained.state_dict(), tmp_path / "inception.pth")
    expert = build_inception_expert(tmp_path / "inception.pth", classes=3).eval()
    first = "Conv2d_1a_3x3.conv.weight"
    assert torch.equal(expert.state_dict()[first], trained.state_dict()[first])
    assert expert(torch.zeros(1, 3, 299, 299)).shape == (1, 3)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(BundleError, match=r"lacks .* weights of Inception V3"):
        build_inception_expert(tmp_path / "other.pth", classes=3)


def test_avmnist_presets():
    network = avmnist.simmlm()
    assert list(network.experts) == ["image", "audio"]
    with pytest.raises(OptionError, match="Choose one of image, audio"):
        avmnist.expert("text")
