"""A qwen3 decoder in PyTorch, written from its definition: the other side of the comparisons.

Weights are a dict of tensors under the names of Hugging Face files. Attention sees one document at
a time, so packing needs no mask here.
"""

import torch
from torch.nn import functional


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


class Model:
    def __init__(self, weights, shape):
        self.weights = weights
        self.shape = shape
        half = shape["head_dim"] // 2
        powers = torch.arange(half, dtype=torch.float64) / half
        angles = torch.outer(torch.arange(shape["context"], dtype=torch.float64),
                             shape["rope_base"] ** -powers)
        self.cosines = angles.cos().to(weights["model.norm.weight"].dtype)
        self.sines = angles.sin().to(weights["model.norm.weight"].dtype)

    def rotate(self, x):
        """x: [..., tokens, head_dim], pairs (i, i + head_dim / 2)."""
        n, half = x.shape[-2], x.shape[-1] // 2
        a, b = x[..., :half], x[..., half:]
        c, s = self.cosines[:n], self.sines[:n]
        return torch.cat([a * c - b * s, b * c + a * s], -1)

    def attention(self, x, prefix):
        """x: [documents, tokens, embed], all of one length."""
        w, s = self.weights, self.shape
        n_documents, n, _ = x.shape

        def heads(name, count):
            y = x @ w[f"{prefix}{name}_proj.weight"].T
            return y.view(n_documents, n, count, s["head_dim"]).transpose(1, 2)

        q = rms_norm(heads("q", s["heads"]), w[prefix + "q_norm.weight"], 1e-6)
        k = rms_norm(heads("k", s["kv_heads"]), w[prefix + "k_norm.weight"], 1e-6)
        group = s["heads"] // s["kv_heads"]
        k = self.rotate(k).repeat_interleave(group, 1)
        v = heads("v", s["kv_heads"]).repeat_interleave(group, 1)
        scores = self.rotate(q) @ k.transpose(-1, -2) / s["head_dim"] ** 0.5
        mask = torch.ones(n, n, dtype=torch.bool).triu(1)
        out = scores.masked_fill(mask, float("-inf")).softmax(-1) @ v
        return out.transpose(1, 2).reshape(n_documents, n, -1) @ w[prefix + "o_proj.weight"].T

    def hidden(self, tokens):
        """tokens: [documents, tokens] -> the rows that the head multiplies."""
        w = self.weights
        x = w["model.embed_tokens.weight"][tokens]
        for i in range(self.shape["layers"]):
            prefix = f"model.layers.{i}."
            normed = rms_norm(x, w[prefix + "input_layernorm.weight"], 1e-6)
            x = x + self.attention(normed, prefix + "self_attn.")
            normed = rms_norm(x, w[prefix + "post_attention_layernorm.weight"], 1e-6)
            gate = functional.silu(normed @ w[prefix + "mlp.gate_proj.weight"].T)
            up = normed @ w[prefix + "mlp.up_proj.weight"].T
            x = x + (gate * up) @ w[prefix + "mlp.down_proj.weight"].T
        return rms_norm(x, w["model.norm.weight"], 1e-6)

    def loss_sum(self, tokens, is_target):
        """Sum of -log p over the tokens marked as targets."""
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        rows = self.hidden(tokens)[:, :-1][is_target[:, 1:]]
        return functional.cross_entropy(rows @ head.T, tokens[:, 1:][is_target[:, 1:]],
                                        reduction="sum")


def parameter_groups(weights, weight_decay):
    """Norms are not pulled towards zero."""
    vectors = [w for w in weights.values() if w.dim() == 1]
    matrices = [w for w in weights.values() if w.dim() > 1]
    return [{"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0}]
