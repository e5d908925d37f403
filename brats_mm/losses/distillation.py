"""Distillation between views of a crop: more sequences teach fewer."""

import torch.nn.functional as F
from torch import Tensor


def logit_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence D(teacher || student) of the regions, in nats.

    Each logit defines a Bernoulli distribution. The teacher gets no gradient. The divergence is computed from logits,
    so that large values stay finite.

    Args:
        student: logits (b, c, h, w, d).
        teacher: logits of the same shape.

    Returns:
        Mean over the voxels and regions of each sample, (b,).
    """
    student, teacher = student.float(), teacher.detach().float()
    difference = F.softplus(student) - F.softplus(teacher) - teacher.sigmoid() * (student - teacher)
    return difference.flatten(1).mean(dim=1)


def subset_distillation(student: Tensor, teacher: Tensor, available: Tensor, more: Tensor) -> Tensor:
    """Return the mean `logit_divergence` of the samples whose teacher saw more sequences, or 0 if there are none.

    Args:
        student: logits (b, c, h, w, d) of the smaller views.
        teacher: logits of the larger views, of the same shape.
        available: (b, m) booleans, sequences of the smaller views.
        more: (b, m) booleans, sequences of the larger views.
    """
    taught = (more & ~available).any(dim=1).to(student.device, student.float().dtype)
    return (logit_divergence(student, teacher) * taught).sum() / taught.sum().clamp(min=1)
