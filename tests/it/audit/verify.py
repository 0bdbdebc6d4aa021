"""Verifies the export of one tenant's audit log, with nothing but Python's standard library.

    postroom-api admin audit export --tenant acme | python3 verify.py --head 4711:9f2c...

The head was kept elsewhere, as the worker logs it or `admin audit head` prints it. Without one, neither an end that was cut
off nor a log that was forged as a whole is noticed.

Prints the number of entries and the hash of the last seal, or exits with 1 and says what is wrong.
"""

import argparse
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


def verify(lines, head):
    previous, position, total, leaves, last = bytes(32), 0, 0, [], (0, 0)
    # The chain of all tenants, and the number of its newest seal.
    chain, newest = bytes(32), 0
    head_was_seen = head is None
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
        newest += 1
        if "other_seal" in line:
            chain = digest(3, chain, bytes.fromhex(line["other_seal"]))
        else:
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
            chain = digest(3, chain, previous)
            if (seal["number"], seal["chain"]) != (newest, chain.hex()):
                return f"line {number}: seal {position} is not number {newest} of all tenants"
            total, leaves = total + len(leaves), []
        head_was_seen = head_was_seen or f"{newest}:{chain.hex()}" == head
    if leaves:
        return "the last entries have no seal"
    if not head_was_seen:
        return f"the export has no head {head}: its end was cut off, or the log was forged"
    print(total, previous.hex())
    return None


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Verifies an export of the audit log.")
    arguments.add_argument("--head", metavar="NUMBER:CHAIN")
    sys.exit(verify(sys.stdin, arguments.parse_args().head))
