"""umas-info: what it prints of a model file, and how it refuses others.

usage: test_umas_info.py UMAS_INFO UMAS_RANDOM_MODEL
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

CHECKPOINT = Path(__file__).resolve().parents[1] / "golden" / "uma-1.2.1.pt"

failures = 0


def check(holds, what):
    global failures
    if not holds:
        failures += 1
        print(f"failed: {what}")


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def check_refused(info, arguments, status, words):
    code, out, err = run(info, *arguments)
    check(code == status and out == "", f"{arguments}: status {code}, output {out!r}")
    check(err.startswith("umas-info: ") and err.count("\n") == 1, f"{arguments}: {err!r}")
    check(words in err, f"{arguments}: {words!r} is not in {err!r}")


def check_end_of_options(info, model):
    """Behind -- a name is a file's, whatever it begins with."""
    expected = run(info, model)
    check(run(info, "--", model) == expected, "other output behind --")
    check_refused(info, ["--", "--help"], 1, "--help: cannot open")
    check_refused(info, ["--"], 2, "one FILE is expected, 0 are given")
    check_refused(info, ["--", model, model], 2, "one FILE is expected, 2 are given")


def check_table(info, model):
    code, out, err = run(info, model)
    check(code == 0 and err == "", f"status {code}, {err!r}")
    lines = out.splitlines()
    rows = {line[:26].rstrip(): line[26:] for line in lines}
    expected = {
        "model": "UMA-S-1.2.1",
        "weights": "random numbers: not a trained model",
        "source": "random, seed 5",
        "source SHA-256": "none",
        "sphere channels": "8",
        "layers": "2",
        "lmax, mmax": "2, 1",
        "cutoff": "6 A",
        "neighbours at most": "300",
        "elements": "H to Es",
        "experts": "3, routed by 6 channels",
        "charge-balanced channels": "0 to 2",
        "spin-balanced channels": "none",
        "energy heads": "7",
    }
    for name, value in expected.items():
        check(rows.get(name) == value, f"{name}: {rows.get(name)!r}, not {value!r}")
    size = Path(model).stat().st_size
    check(rows.get("size", "").startswith(f"{size:,} bytes ("), f"size: {rows.get('size')!r}")
    tasks = [line.split() for line in lines if line.startswith(("omat ", "omol "))]
    check([t[0] for t in tasks] == ["omat", "omol"], f"tasks: {tasks}")
    check(all(t[4:] == ["99", "(H-Es)"] for t in tasks), f"references: {tasks}")


def check_labels(info, convert, folder):
    """A note and a list of elements are printed where the file has them."""
    plain, labelled = folder / "plain.safetensors", folder / "labelled.safetensors"
    labels = {"trained for": "O, Si", "note": "for trying, testing and teaching"}
    options = ["--elements", "Si,O", "--note", labels["note"]]
    for model, extra, expected in ((plain, [], {}), (labelled, options, labels)):
        made = run(sys.executable, convert, CHECKPOINT, "-o", model, *extra)
        check(made[0] == 0, f"umas-convert: {made[2]}")
        code, out, err = run(info, model)
        check(code == 0 and err == "", f"{model.name}: status {code}, {err!r}")
        rows = {line[:26].rstrip(): line[26:] for line in out.splitlines()}
        check(rows.get("weights") == "trained", f"{model.name}: weights {rows.get('weights')!r}")
        for name in labels:
            found, wanted = rows.get(name), expected.get(name)
            check(found == wanted, f"{model.name}: {name} {found!r}, not {wanted!r}")


def check_missing(info, convert, folder):
    """Elements that a task has no energy for; uma-1.2.1.pt has references for all of its 100."""
    model = folder / "missing.safetensors"
    made = run(sys.executable, convert, CHECKPOINT, "-o", model)
    check(made[0] == 0, f"umas-convert: {made[2]}")
    content = model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    umas = json.loads(header["__metadata__"]["umas"])
    omat = next(task for task in umas["tasks"] if task["name"] == "omat")
    omat["references"] = omat["references"][:84] + [None] * 16
    omat["references"][3] = 0
    rest = json.dumps({k: v for k, v in umas.items() if k != "crc32"}, separators=(",", ":"))
    rest = "," + rest[1:]
    header["__metadata__"]["umas"] = f'{{"crc32":"{zlib.crc32(rest.encode()):08x}"{rest}'
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    model.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    code, out, err = run(info, model)
    check(code == 0 and err == "", f"missing references: status {code}, {err!r}")
    row = next(line for line in out.splitlines() if line.startswith("omat "))
    check(row.endswith("  82 (H-He, Be-Bi), no energy for Po-Es"), f"missing references: {row!r}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("umas_info")
    parser.add_argument("umas_random_model")
    options = parser.parse_args()
    info = options.umas_info
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        made = run(
            sys.executable, options.umas_random_model, model, "--seed", 5, "--channels", 8,
            "--layers", 2, "--mmax", 1, "--experts", 3,
        )
        check(made[0] == 0, f"umas-random-model: {made[2]}")
        check_table(info, model)
        check_end_of_options(info, model)
        check_labels(info, Path(options.umas_random_model).with_name("umas-convert"), Path(folder))
        check_missing(info, Path(options.umas_random_model).with_name("umas-convert"), Path(folder))
        model.write_bytes(model.read_bytes()[:-1])
        check_refused(info, [model], 1, "cut off")
        check_refused(info, [Path(folder) / "none"], 1, "No such file")
    check_refused(info, [], 2, "one FILE is expected, 0 are given")
    check_refused(info, ["a", "b"], 2, "one FILE is expected, 2 are given")
    check_refused(info, ["--verbose"], 2, "unknown option '--verbose'")
    check(run(info, "--help")[1].startswith("usage: umas-info FILE\n"), "--help")
    check(run(info, "--version")[1].startswith("umas-info 0."), "--version")
    print(f"{failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
