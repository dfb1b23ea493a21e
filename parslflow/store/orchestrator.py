"""The process in which SmartSim's Experiment starts a store and stops it again.

It is told to stop by the end of its standard input, which also comes when its parent dies.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import redis
from smartsim.database.orchestrator import Orchestrator
from smartsim.experiment import Experiment

END_S = 10.0


class GuardedOrchestrator(Orchestrator):
    """SmartSim's orchestrator, for a server that has a password.

    SmartSim knows none, and asks over the network whether the server is there.
    """

    def __init__(self, folder: Path, socket: Path, port: int, password_file: Path) -> None:
        super().__init__(path=str(folder), port=port, interface="lo", launcher="local")
        self._socket = socket
        self._password_file = password_file

    def connection(self) -> redis.Redis:
        """A connection to the server."""
        password = self._password_file.read_text()
        return redis.Redis(unix_socket_path=str(self._socket), password=password)

    def is_active(self) -> bool:
        """Whether the server answers."""
        try:
            with self.connection() as connection:
                return bool(connection.ping())
        except redis.RedisError:
            return False


def main(folder: Path, socket: Path, port: int, password_file: Path) -> str | None:
    """Run the server until standard input ends; what went wrong, if it ended before that."""
    experiment = Experiment("store", exp_path=str(folder), launcher="local")
    database = GuardedOrchestrator(folder, socket, port, password_file)
    experiment.start(database)
    with database.connection() as connection:
        server = os.pidfd_open(connection.info("server")["process_id"])
    ended, _, _ = select.select([sys.stdin, server], [], [])
    # SmartSim stops the server by redis-cli, which finds the password here.
    os.environ["REDISCLI_AUTH"] = password_file.read_text()
    experiment.stop(database)
    select.select([server], [], [], END_S)
    return None if sys.stdin in ended else "The server ended by itself."


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
