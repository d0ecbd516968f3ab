"""A mail server for the tests, by Debian's aiosmtpd: STARTTLS, a password, and each message becomes a file.

Arguments: port, directory with cert.pem and key.pem, user, password. It ends when its standard input ends.
"""

import pathlib
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

port, directory, user, password = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]


class Mailbox:
    """Stores each message with the recipients of its envelope."""

    async def handle_DATA(self, server, session, envelope):
        number = len(list(directory.glob("*.eml")))
        head = "X-Envelope-To: " + ", ".join(envelope.rcpt_tos) + "\r\n"
        unfinished = directory / "unfinished"
        unfinished.write_bytes(head.encode() + envelope.content)
        unfinished.rename(directory / f"{number:04}.eml")
        return "250 stored"


def authenticate(server, session, envelope, mechanism, data):
    expected = LoginPassword(user.encode(), password.encode())
    return AuthResult(success=data == expected, handled=False)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
controller = Controller(
    Mailbox(),
    hostname="127.0.0.1",
    port=port,
    tls_context=context,
    require_starttls=True,
    auth_required=True,
    auth_require_tls=True,
    authenticator=authenticate,
)
controller.start()
print("ready", flush=True)
sys.stdin.read()
