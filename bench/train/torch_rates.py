"""The step of train_rates.c in PyTorch, f32: same model, batch and threads.

    torch_rates.py [--threads N] [--steps N]     (Debian's python3-torch)
"""

import argparse
import pathlib
import statistics
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/oracle/train"))
from torch_model import Model, parameter_groups  # noqa: E402


def make_weights(layers, embed, ffn, vocab):
    q, kv = embed, embed // 2
    shapes = {"model.embed_tokens": (vocab, embed), "model.norm": (embed,)}
    for i in range(layers):
        prefix = f"model.layers.{i}."
        shapes |= {prefix + "input_layernorm": (embed,), prefix + "self_attn.q_proj": (q, embed),
                   prefix + "self_attn.k_proj": (kv, embed),
                   prefix + "self_attn.v_proj": (kv, embed), prefix + "self_attn.q_norm": (64,),
                   prefix + "self_attn.k_norm": (64,), prefix + "self_attn.o_proj": (embed, q),
                   prefix + "post_attention_layernorm": (embed,),
                   prefix + "mlp.gate_proj": (ffn, embed), prefix + "mlp.up_proj": (ffn, embed),
                   prefix + "mlp.down_proj": (embed, ffn)}
    return {name + ".weight": (torch.randn(shape) * 0.02 if len(shape) > 1
                               else torch.ones(shape)).requires_grad_()
            for name, shape in shapes.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    weights = make_weights(8, 256, 768, 4096)
    model = Model(weights, {"layers": 8, "heads": 4, "kv_heads": 2, "head_dim": 64,
                            "context": 256, "rope_base": 10000.0})
    optimiser = torch.optim.AdamW(parameter_groups(weights, 0.1), lr=1e-4, betas=(0.9, 0.95))
    tokens = torch.randint(0, 4096, (16, 256))
    targets = torch.ones_like(tokens, dtype=torch.bool)

    def step():
        optimiser.zero_grad()
        loss = model.loss_sum(tokens, targets) / tokens.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimiser.step()

    step()
    seconds = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print("format,threads,tokens,seconds,tokens_per_s,fastest_s,slowest_s")
    print(f"f32,{arguments.threads},{tokens.numel()},{median:.4f},{tokens.numel() / median:.0f},"
          f"{min(seconds):.4f},{max(seconds):.4f}")


main()
