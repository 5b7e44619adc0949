#!/usr/bin/env python3
"""Drives echo_server, fetch and supervisor as their users do, with Python's sockets as the other side.

usage: run.py DIRECTORY-OF-THE-BUILT-EXAMPLES
The last line is `N passed, M failed`.
"""
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

LIMIT = 30  # seconds; guards against a hang only


class EchoServer:
    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen(
            [str(BUILD / "echo_server"), "--host", "127.0.0.1", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        word, port = self.process.stdout.readline().split()
        assert word == "READY", word
        self.port = int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def counters(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def settle(self, expected):
        """The counters, as soon as they are what is expected."""
        deadline = time.monotonic() + LIMIT
        while (seen := self.counters()) != expected:
            assert time.monotonic() < deadline, f"{seen}, not {expected}"
        return seen

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def status(self):
        return self.process.wait(timeout=LIMIT)


def read_all(client):
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


def read_exactly(client, count):
    data = b""
    while len(data) < count:
        chunk = client.recv(count - len(data))
        assert chunk, f"the stream ended after {len(data)} of {count} bytes"
        data += chunk
    return data


def raw_echo_of_a_megabyte_with_half_close():
    data = os.urandom(1 << 20)
    with EchoServer() as server, server.connect() as client:
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        assert read_all(client) == data
        sender.join()


def lines_of_exactly_the_limit_are_echoed():
    with EchoServer("--mode", "lines", "--limit", "10") as server, server.connect() as client:
        client.sendall(b"0123456789\nshort\n")
        assert read_exactly(client, 17) == b"0123456789\nshort\n"


def a_longer_line_is_refused_at_once_and_earlier_ones_are_echoed():
    with EchoServer("--mode", "lines", "--limit", "10") as server, server.connect() as client:
        client.sendall(b"one\ntwo\n01234567890")  # no newline: it is too long already
        assert read_all(client) == b"one\ntwo\nERROR limit\n"


def a_refused_client_that_goes_on_sending_still_reads_why():
    with EchoServer("--mode", "lines", "--limit", "10") as server, server.connect() as client:
        client.sendall(b"x" * 500_000)
        assert read_all(client) == b"ERROR limit\n"


def a_last_line_without_newline_is_echoed():
    with EchoServer("--mode", "lines") as server, server.connect() as client:
        client.sendall(b"one\ntw")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"one\ntw"


def sigterm_ends_idle_clients_and_the_server():
    with EchoServer() as server, server.connect() as idle, server.connect() as busy:
        busy.sendall(b"hello")
        assert read_exactly(busy, 5) == b"hello"
        begin = time.monotonic()
        server.terminate()
        assert read_all(idle) == b""
        assert read_all(busy) == b""
        assert server.status() == 0
        assert time.monotonic() - begin < 5


def sigterm_echoes_what_has_arrived():
    data = os.urandom(100_000)
    with EchoServer() as server, server.connect() as client:
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"  # it is served now
        # Stopped, the server finds the bytes and the signal together.
        server.process.send_signal(signal.SIGSTOP)
        client.sendall(data)
        server.terminate()
        server.process.send_signal(signal.SIGCONT)
        assert read_all(client) == data
        assert server.status() == 0


def sigterm_aborts_a_client_that_never_reads():
    with EchoServer() as server, server.connect() as client:
        client.setblocking(False)
        deadline = time.monotonic() + LIMIT
        full = 0
        while full < 100 and time.monotonic() < deadline:
            try:
                client.send(b"x" * 65536)
                full = 0
            except BlockingIOError:
                full += 1
                time.sleep(0.002)  # the server's buffers fill up meanwhile
        begin = time.monotonic()
        server.terminate()
        assert server.status() == 0
        assert time.monotonic() - begin < 10


def sigterm_refuses_new_clients():
    with EchoServer() as server:
        server.terminate()
        assert server.status() == 0
        try:
            server.connect().close()
        except ConnectionRefusedError:
            return
        raise AssertionError("connected to a server that has stopped")


def counters_return_to_their_base():
    with EchoServer() as server:
        base = server.counters()
        assert base["connections"] == 0, base
        clients = [server.connect() for _ in range(10)]
        for client in clients:
            client.sendall(b"x")
            assert read_exactly(client, 1) == b"x"
        seen = server.counters()
        assert seen["connections"] == 10, seen
        assert seen["tasks"] == base["tasks"] + 10, seen
        assert seen["fds"] == base["fds"] + 10, seen
        for client in clients[:5]:
            client.close()
        for client in clients[5:]:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()  # a reset
        server.settle(base)


def a_flood_of_tiny_lines_starves_nobody():
    stop = threading.Event()
    with EchoServer("--mode", "lines") as server, server.connect() as flood, server.connect() as client:

        def send():
            try:
                while not stop.is_set():
                    flood.sendall(b"\n" * 65536)
            except OSError:
                pass

        def receive():
            try:
                while flood.recv(65536):
                    pass
            except OSError:
                pass

        threads = [threading.Thread(target=send), threading.Thread(target=receive)]
        for each in threads:
            each.start()
        slowest = 0.0
        for _ in range(200):
            begin = time.monotonic()
            client.sendall(b"ping\n")
            assert read_exactly(client, 5) == b"ping\n"
            slowest = max(slowest, time.monotonic() - begin)
        stop.set()
        flood.shutdown(socket.SHUT_RDWR)
        for each in threads:
            each.join()
        # CPython's streams need a second and more here.
        assert slowest < 1, slowest


def a_port_in_use_is_named():
    with EchoServer() as server:
        done = subprocess.run(
            [str(BUILD / "echo_server"), "--host", "127.0.0.1", "--port", str(server.port)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 1, done
        assert f"127.0.0.1:{server.port}" in done.stderr or (
            "127.0.0.1" in done.stderr and str(server.port) in done.stderr
        ), done.stderr


def an_unknown_loop_is_refused_with_the_others_named():
    done = subprocess.run(
        [str(BUILD / "echo_server"), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "RONDO_LOOP": "nonsense"},
    )
    assert done.returncode == 1, done
    assert "nonsense" in done.stderr and "epoll" in done.stderr, done.stderr


def wrong_usage_is_status_2():
    for program, arguments in (("echo_server", ["--port", "x"]), ("supervisor", ["no-equals-sign"]), ("fetch", ["--host", "h"]), ("fetch", ["--host", "h", "--port", "1", "--send", "abc"])):
        done = subprocess.run([str(BUILD / program), *arguments], capture_output=True, timeout=LIMIT)
        assert done.returncode == 2, (program, done)


class Peer:
    """A server that handles one connection with a function."""

    def __init__(self, handle):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, args=(handle,))
        self.thread.start()

    def serve(self, handle):
        connection, _ = self.listener.accept()
        with connection:
            handle(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join(LIMIT)
        self.listener.close()


def fetch(port, *arguments, host="127.0.0.1"):
    return subprocess.run(
        [str(BUILD / "fetch"), "--host", host, "--port", str(port), *arguments], capture_output=True, timeout=LIMIT
    )


def fetch_writes_what_it_reads_until_the_end():
    data = os.urandom(300_000)
    for host in ("127.0.0.1", "localhost"):
        with Peer(lambda connection: connection.sendall(data)) as peer:
            done = fetch(peer.port, host=host)
        assert done.returncode == 0 and done.stdout == data, done.stderr


def fetch_sends_first():
    received = []
    with Peer(lambda connection: (received.append(connection.recv(100)), connection.sendall(b"ok"))) as peer:
        done = fetch(peer.port, "--send", "68690A")
    assert (done.returncode, done.stdout, received) == (0, b"ok", [b"hi\n"]), done


def fetch_reports_a_reset():
    def reset(connection):
        connection.sendall(b"partial")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Peer(reset) as peer:
        done = fetch(peer.port)
    assert done.returncode == 4, done


def fetch_reports_a_refused_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = fetch(port)
    assert done.returncode == 4, done
    assert b"127.0.0.1" in done.stderr and str(port).encode() in done.stderr, done.stderr


def fetch_stops_at_its_timeout():
    with Peer(lambda connection: (connection.sendall(b"begin"), connection.recv(1))) as peer:
        done = fetch(peer.port, "--timeout", "0.3")
    assert (done.returncode, done.stdout) == (5, b"begin"), done


class Supervisor:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([str(BUILD / "supervisor"), *arguments], stdout=subprocess.PIPE, text=True)
        self.lines = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def until(self, part):
        """The next line that contains it."""
        while line := self.process.stdout.readline():
            self.lines.append(line.rstrip("\n"))
            if part in line:
                return self.lines[-1]
        raise AssertionError(f"no line with {part!r}: {self.lines}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.communicate(timeout=LIMIT)[0].splitlines()
        self.lines += rest
        return rest

    def status(self):
        return self.process.wait(timeout=LIMIT)


def supervised_programs_say_who_they_are():
    with Supervisor("--restart", "never", "one=echo out; echo err >&2", "two=printf last; exit 3") as supervisor:
        rest, _ = supervisor.process.communicate(timeout=LIMIT)
        assert supervisor.status() == 0
    lines = rest.splitlines()
    for line in ("one | out", "one ! err", "two | last", "supervisor: one ended with 0", "supervisor: two ended with 3"):
        assert line in lines, (line, lines)
    assert lines[-1] == "supervisor: everything has stopped", lines


def programs_that_end_are_started_again_ever_more_slowly():
    with Supervisor("--backoff", "0.01", "flaky=echo try; exit 1") as supervisor:
        waits = [supervisor.until("starts again in") for _ in range(4)]
        assert [w.split(" in ")[1] for w in waits] == ["0.01 s", "0.02 s", "0.04 s", "0.08 s"], waits
        supervisor.stop()
        assert supervisor.status() == 0


def only_failures_are_started_again_if_that_is_asked_for():
    with Supervisor("--restart", "failure", "--backoff", "0.01", "fine=exit 0", "bad=exit 2") as supervisor:
        for _ in range(3):
            supervisor.until("bad ended with 2, starts again")
        supervisor.stop()
        assert [line for line in supervisor.lines if "fine ended" in line] == ["supervisor: fine ended with 0"], supervisor.lines


def a_killed_program_is_started_again():
    with Supervisor("--backoff", "0.01", "victim=echo $$; exec sleep 1000") as supervisor:
        first = int(supervisor.until("victim | ").split()[-1])
        os.kill(first, signal.SIGKILL)
        supervisor.until("victim ended with -9, starts again")
        second = int(supervisor.until("victim | ").split()[-1])
        assert first != second
        supervisor.stop()
        assert supervisor.status() == 0


def programs_stop_in_reverse_order_and_the_deaf_are_killed():
    loop = "while :; do read line || sleep 0.05; done"
    with Supervisor(
        "--grace", "0.2",
        f"first=trap 'echo bye; exit 0' TERM; echo ready; {loop}",
        f"deaf=trap '' TERM; echo ready; {loop}",
        f"last=trap 'echo bye; exit 0' TERM; echo ready; {loop}",
    ) as supervisor:
        for _ in range(3):
            supervisor.until("| ready")
        told = [line for line in supervisor.stop() if "|" in line or "ended" in line or "killed" in line]
        assert supervisor.status() == 0
    assert told == [
        "last | bye",
        "supervisor: last ended with 0",
        "supervisor: deaf does not stop: it is killed",
        "supervisor: deaf ended with -9",
        "first | bye",
        "supervisor: first ended with 0",
    ], told


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if callable(test) and getattr(test, "__module__", None) == "__main__" and name.islower():
            if name in ("main", "fetch", "read_all", "read_exactly"):
                continue
            try:
                test()
                passed += 1
                print("ok   ", name.replace("_", " "))
            except Exception:
                failed += 1
                print("FAIL ", name.replace("_", " "))
                traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if len(sys.argv) != 2:
    sys.exit(__doc__)
BUILD = pathlib.Path(sys.argv[1]).resolve()
main()
