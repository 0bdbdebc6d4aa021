"""A real mail server for one test. Keeps each email as a file in the folder given, and misbehaves as the folder's file `faults`
says: a line for a connection. Writes its port to stdout. Given `tls` or `starttls`, a certificate and its key, it speaks
encrypted only.

refuse: every recipient is refused; defer: come back later; drop: kept, and hung up before the reply; stall: kept, and no reply.
"""

import asyncio
import json
import pathlib
import ssl
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
    security, context = "none", None
    if len(sys.argv) > 2:
        security = sys.argv[2]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
    later = context if security == "starttls" else None

    def greet():
        return SMTP(
            Keeper(),
            hostname="mail.test",
            timeout=600,
            authenticator=let_in,
            auth_require_tls=False,
            tls_context=later,
            require_starttls=later is not None,
        )

    at_once = context if security == "tls" else None
    server = await asyncio.get_running_loop().create_server(greet, "127.0.0.1", 0, ssl=at_once)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
