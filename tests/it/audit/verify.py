"""Verifies the export of one tenant's audit log, with nothing but Python's standard library.

    postroom-api admin audit export --tenant acme | python3 verify.py

Prints the number of entries and the hash of the last seal, or exits with 1 and says what is wrong.
"""

import hashlib
import json
import sys
import uuid


def digest(kind, *parts):
    return hashlib.sha256(bytes([kind]) + b"".join(parts)).digest()


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return digest(1, root(leaves[:half]), root(leaves[half:]))


def verify(lines):
    previous, position, total, leaves, last = bytes(32), 0, 0, [], (0, 0)
    for number, line in enumerate(lines, 1):
        line = json.loads(line)
        if "entry" in line:
            text = line["entry"]
            entry = json.loads(text)
            place = (int(entry["xid"]), int(entry["seq"]))
            if place <= last:
                return f"line {number}: entry {place} does not come after {last}"
            last = place
            leaves.append(digest(0, text.encode()))
            continue
        seal = line["seal"]
        position += 1
        if seal["position"] != position:
            return f"line {number}: seal {seal['position']} where {position} should be"
        if seal["entries"] != len(leaves) or not leaves or seal["root"] != root(leaves).hex():
            return f"line {number}: the entries are not those under seal {position}"
        previous = digest(
            2,
            previous,
            uuid.UUID(seal["tenant_id"]).bytes,
            position.to_bytes(8, "big"),
            len(leaves).to_bytes(4, "big"),
            root(leaves),
        )
        if seal["hash"] != previous.hex():
            return f"line {number}: seal {position} does not follow from the seal before it"
        total, leaves = total + len(leaves), []
    if leaves:
        return "the last entries have no seal"
    print(total, previous.hex())
    return None


if __name__ == "__main__":
    sys.exit(verify(sys.stdin))
