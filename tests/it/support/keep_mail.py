"""A real mail server for one test. Keeps each mail as a file in the folder given, and misbehaves as the folder's file `faults`
says: a line for a connection. Writes its port to stdout.

refuse: every recipient is refused; defer: come back later; drop: kept, and hung up before the reply; stall: kept, and no reply.
"""

import asyncio
import json
import pathlib
import sys

from aiosmtpd.smtp import SMTP, AuthResult

FOLDER = pathlib.Path(sys.argv[1])


def next_fault():
    faults = FOLDER / "faults"
    lines = faults.read_text().splitlines() if faults.exists() else []
    faults.write_text("\n".join(lines[1:]))
    return lines[0] if lines else ""


class Keeper:
    kept = 0

    def __init__(self):
        self.fault = None

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.fault is None:
            self.fault = next_fault()
        if self.fault == "defer":
            return "451 4.3.0 come back later"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.fault == "refuse":
            return "550 5.1.1 nobody of this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        Keeper.kept += 1
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.original_content.decode("utf-8", "replace"),
        }
        unfinished = FOLDER / "unfinished"
        unfinished.write_text(json.dumps(mail))
        unfinished.rename(FOLDER / f"mail-{Keeper.kept:05}.json")
        if self.fault == "drop":
            server.transport.abort()
        if self.fault == "stall":
            await asyncio.Event().wait()
        return "250 OK"


def let_in(server, session, envelope, mechanism, data):
    return AuthResult(success=True)


async def main():
    def greet():
        return SMTP(
            Keeper(),
            hostname="mail.test",
            timeout=600,
            authenticator=let_in,
            auth_require_tls=False,
        )

    server = await asyncio.get_running_loop().create_server(greet, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
