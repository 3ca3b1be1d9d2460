"""The loss curve of a small model, step by step, against PyTorch: same weights, same batches.

    check_loss_curve.py LOSS_CURVE TOKENWORKS

Fifty steps of AdamW with warm-up, cosine, clipping, weight decay, packing and masked prompts, in
f32: every loss and every gradient norm within 1e-4 of PyTorch's.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

import torch

from torch_model import Model, parameter_groups

STEPS, TOLERANCE = 50, 1e-4

RECIPE = """
model: {{layers: 2, embed: 48, heads: 4, kv_heads: 2, head_dim: 16, ffn: 96, context: 64,
        rope_base: 10000, tied_head: {tied}}}
data: {{tokenizer: tokenizer.json, train: [train.jsonl], valid: [train.jsonl]}}
training: {{seed: 7, steps: {steps}, warmup_steps: 10, rows_per_step: 6, learning_rate: 0.004,
           final_learning_rate: 0.0004, beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8,
           weight_decay: 0.1, clip: 1.0, format: f32, valid_every: 0, checkpoint_every: 0}}
output: {{folder: out-{tied}}}
"""

WORDS = "red green blue seven apples pears are on the table in our kitchen today".split()


def write_data(folder):
    """Conversations of many lengths, and some plain text."""
    rng = random.Random(3)
    rows = []
    for _ in range(400):
        messages = []
        for _ in range(1 + rng.randrange(2)):
            question = " ".join(rng.choice(WORDS) for _ in range(1 + rng.randrange(6)))
            messages += [{"role": "user", "content": question},
                         {"role": "assistant", "content": question.upper()[:12]}]
        rows.append({"messages": messages})
        if rng.random() < 0.2:
            rows.append({"text": " ".join(rng.choice(WORDS) for _ in range(12))})
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_weights(folder):
    values = torch.frombuffer(bytearray((folder / "weights.f32").read_bytes()),
                              dtype=torch.float32)
    weights = {}
    for line in (folder / "tensors.txt").read_text().splitlines():
        name, offset, rows, columns, is_vector = line.split()
        n = int(rows) * int(columns)
        tensor = values[int(offset):int(offset) + n].clone()
        if is_vector == "0":
            tensor = tensor.view(int(rows), int(columns))
        weights[name] = tensor.requires_grad_()
    return weights


def read_documents(folder):
    """A list of (tokens, is_target) for each step."""
    steps = {}
    for line in (folder / "rows.txt").read_text().splitlines():
        step, *cells = line.split()
        documents = steps.setdefault(int(step), [])
        for cell in cells:
            token, target, start = map(int, cell.split(":"))
            if start:
                documents.append(([], []))
            documents[-1][0].append(token)
            documents[-1][1].append(bool(target))
    return steps


def torch_curve(folder, shape, rates):
    weights = read_weights(folder)
    model = Model(weights, shape)
    optimiser = torch.optim.AdamW(parameter_groups(weights, 0.1), lr=0.004, betas=(0.9, 0.95),
                                  eps=1e-8)
    curve = []
    for step, documents in sorted(read_documents(folder).items()):
        loss = sum(model.loss_sum(torch.tensor([tokens]), torch.tensor([targets]))
                   for tokens, targets in documents)
        loss = loss / sum(sum(targets) for _, targets in documents)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rates[step]
        optimiser.step()
        curve.append((float(loss), float(norm)))
    return curve


def compare(tied, folder, loss_curve):
    recipe = folder / f"recipe-{tied}.yaml"
    recipe.write_text(RECIPE.format(tied=tied, steps=STEPS))
    output = subprocess.run([loss_curve, recipe, folder], check=True, capture_output=True,
                            text=True).stdout
    ours = [list(map(float, line.split())) for line in output.splitlines()]
    shape = {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "context": 64,
             "rope_base": 10000.0}
    theirs = torch_curve(folder, shape, [row[3] for row in ours])
    worst_loss = max(abs(a[1] - b[0]) / b[0] for a, b in zip(ours, theirs))
    worst_norm = max(abs(a[2] - b[1]) / b[1] for a, b in zip(ours, theirs))
    falls = theirs[-1][0] < 0.6 * theirs[0][0]
    good = len(ours) == len(theirs) == STEPS and falls and worst_loss <= TOLERANCE
    print(f"{'ok' if good else 'not ok'} - tied head {tied}: {len(ours)} losses within "
          f"{worst_loss:.1e} of PyTorch's, gradient norms within {worst_norm:.1e}; "
          f"{theirs[0][0]:.3f} fell to {theirs[-1][0]:.3f}")
    return good


def main():
    loss_curve, tokenworks = sys.argv[1:]
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = write_data(folder)
        subprocess.run([tokenworks, "train", "tokenizer", "--corpus", corpus, "--vocab", "300",
                        "-o", folder / "tokenizer.json"], check=True, capture_output=True)
        print("1..2")
        results = [compare(tied, folder, loss_curve) for tied in ("yes", "no")]
    sys.exit(not all(results))


main()
