"""A real mail server: Debian's Dovecot, on ports of its own; such a test is marked `system`.

async with dovecot(folder) as server:
    server.deliver(MAIL)
    await server.kill(); await server.start()
"""

import asyncio
import imaplib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from klankbord_standalone.child import LOOPBACK, Child, free_port, is_free
from klankbord_standalone.postgres_server import unprivileged_account

PROGRAM = shutil.which("dovecot")
USER, PASSWORD = "community@example.org", 'pass "word" ü'
PATIENCE = 10.0
needs_dovecot = pytest.mark.skipif(
    PROGRAM is None or shutil.which("openssl") is None,
    reason="there is no Dovecot here: make setup-system",
)

CONFIGURATION = """
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
ssl = yes
ssl_cert = <{folder}/server.crt
ssl_key = <{folder}/server.key
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
maildir_stat_dirs = yes
{accounts}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
"""


class Dovecot:
    """A mail server with one mailbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self._child: Child | None = None
        self._prepare()

    @property
    def authority(self) -> Path:
        """The certificate that a client has to trust; it is for `localhost`."""
        return self._folder / "server.crt"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        configuration = str(self._folder / "dovecot.conf")
        self._child = await Child.start(
            "dovecot",
            [str(PROGRAM), "-F", "-c", configuration],
            log=self._folder / "output.log",
            dies_by=SIGTERM,
        )
        async with asyncio.timeout(PATIENCE):
            while is_free(self.port) or is_free(self.tls_port):
                if self._child.crashed:
                    raise self._child.failed("did not start")
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it with every process of it, and so every connection."""
        if self._child is not None:
            os.killpg(self._child.pid, SIGKILL)
            await self._child.wait()
            self._child = None
            async with asyncio.timeout(PATIENCE):
                while not (is_free(self.port) and is_free(self.tls_port)):
                    await asyncio.sleep(0.02)

    def client(self) -> imaplib.IMAP4:
        """Another mail program, which changes what it likes."""
        client = imaplib.IMAP4(LOOPBACK, self.port, timeout=PATIENCE)
        client.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
        return client

    def deliver(self, *mails: bytes, folder: str = "INBOX") -> None:
        """Put mails into the mailbox."""
        with self.client() as client:
            for mail in mails:
                client.append(folder, "", imaplib.Time2Internaldate(time.time()), mail)

    def _prepare(self) -> None:
        folder = self._folder
        new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
        new += ["-keyout", "server.key", "-out", "server.crt"]
        new += ["-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(new, cwd=folder, check=True, capture_output=True)
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n", encoding="utf-8")
        (folder / "mail").mkdir()
        accounts, uid, gid = "", os.getuid(), os.getgid()
        if (
            uid == 0
        ):  # then it changes to users of its own, and mail belongs to one that is not root
            account = unprivileged_account()
            uid, gid = account.uid, account.gid
            os.chown(folder / "mail", uid, gid)
        else:
            name = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout
            accounts = f"default_internal_user = {name}default_login_user = {name}"
        text = CONFIGURATION.format(
            folder=folder,
            accounts=accounts,
            uid=uid,
            gid=gid,
            port=self.port,
            tls_port=self.tls_port,
        )
        (folder / "dovecot.conf").write_text(text, encoding="utf-8")


@asynccontextmanager
async def dovecot(folder: Path) -> AsyncIterator[Dovecot]:
    """A mail server for as long as this lasts."""
    server = Dovecot(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
