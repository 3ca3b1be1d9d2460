"""An audit log is verified from docs/formats/audit.md: Python's BLAKE2b, OpenSSL's Ed25519."""
import hashlib
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

N_RECORDS = 400


def number(value):
    return struct.pack("<Q", value % 2**64)


def text(value):
    data = value.encode("utf-8")
    return number(len(data)) + data


def blake2b(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def genesis(log):
    return blake2b(b"tokenworks-audit-genesis-1\n", text(log))


def record_hash(before, log, row):
    return blake2b(b"tokenworks-audit-record-1\n", before, text(log), number(row["seq"]),
                   number(row["at_ns"]), text(row["kind"]), text(row["body"]))


def signed_text(log, row):
    return (f"tokenworks-checkpoint-1\n{log}\n{row['checkpoint']}\n{row['seq']}\n{row['at_ns']}\n"
            f"{row['hash']}\n")


def is_signed(folder, signed, signature):
    (folder / "signed.txt").write_text(signed)
    (folder / "signature.bin").write_bytes(bytes.fromhex(signature))
    done = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", folder / "key.pub", "-rawin",
         "-in", folder / "signed.txt", "-sigfile", folder / "signature.bin"],
        capture_output=True, check=False)
    return done.returncode == 0


def is_canonical(body):
    """Sorted keys, integers and strings only, and no spaces."""
    def only_plain(value):
        if isinstance(value, dict):
            return list(value) == sorted(value) and all(map(only_plain, value.values()))
        if isinstance(value, list):
            return all(map(only_plain, value))
        return type(value) in (int, str)
    return only_plain(json.loads(body)) and not re.search(r"[\x00-\x1f]", body)


def check_record(log, row, head, n_seen):
    assert row["seq"] == n_seen + 1, row["seq"]
    assert is_canonical(row["body"]), row["body"]
    computed = record_hash(head, log, row)
    assert computed.hex() == row["hash"], f"record {row['seq']}"
    return computed


def check_checkpoint(folder, log, row, head, n_records, n_checkpoints):
    assert (row["checkpoint"], row["seq"]) == (n_checkpoints + 1, n_records), row
    assert row["hash"] == head.hex()
    assert is_signed(folder, signed_text(log, row), row["signature"]), row["checkpoint"]


def check_export(folder):
    lines = (folder / "export.jsonl").read_text(encoding="utf-8").splitlines()
    first, *rows, last = map(json.loads, lines)
    log = first["log"]
    head = genesis(log)
    assert (first["export"], first["first"]) == ("tokenworks-audit-1", 1)
    assert first["previous"] == head.hex()
    checkpoints, n_records, at_ns = [], 0, 0
    for row in rows:
        assert row["at_ns"] >= at_ns
        if "body" in row:
            head = check_record(log, row, head, n_records)
            n_records, at_ns = n_records + 1, row["at_ns"]
        else:
            check_checkpoint(folder, log, row, head, n_records, len(checkpoints))
            checkpoints.append(row)
    assert last == {"checkpoints": len(checkpoints), "end": n_records, "records": n_records}
    return log, checkpoints, n_records


def check_kept(folder, log, checkpoints):
    kept = (folder / "checkpoint").read_text()
    row = checkpoints[-1]
    assert kept == signed_text(log, row) + row["signature"] + "\n"
    changed = signed_text(log, row | {"seq": row["seq"] + 1})
    assert not is_signed(folder, changed, row["signature"]), "OpenSSL accepts anything"


def main(writer):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([writer, folder, str(N_RECORDS)], check=True)
        log, checkpoints, n_records = check_export(folder)
        assert n_records == N_RECORDS and len(checkpoints) >= 10
        check_kept(folder, log, checkpoints)
        print(f"{n_records} records and {len(checkpoints)} checkpoints are as the document says")


if __name__ == "__main__":
    main(sys.argv[1])
