#!/usr/bin/env python3
"""Runs each example beside its Python twin and compares what they print.

usage: run.py DIRECTORY-OF-THE-BUILT-EXAMPLES
The last line is `N passed, M failed`.
"""
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
ALONE = [
    "hello_world", "display_date", "add_reader", "signals", "run_in_executor", "queue_workers", "get_date",
    "get_date_protocol", "gather", "timeout", "task_group", "shutdown_asyncgens",
]
ECHO = ["streams", "protocol"]
LIMIT = 30  # seconds; guards against a hang only


def command(language, build, name, *arguments):
    program = [PYTHON, str(HERE / f"{name}.py")] if language == "python" else [str(build / f"asyncio_{name}")]
    return [*program, *arguments]


def normalised(text):
    """Times of day, how many of them a busy machine leaves room for, and ports differ from run to run."""
    text = re.sub(r"(\d\d:\d\d:\d\d\n)+", "HH:MM:SS ...\n", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "DATE", text)
    return re.sub(r"READY \d+", "READY PORT", text)


def run_alone(language, build, name):
    done = subprocess.run(command(language, build, name), capture_output=True, text=True, timeout=LIMIT)
    return normalised(done.stdout) + done.stderr + f"exit status {done.returncode}\n"


def run_echo(server_language, client_language, build, kind):
    server = subprocess.Popen(
        command(server_language, build, f"tcp_echo_server_{kind}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        head = ""
        while True:
            line = server.stdout.readline()
            if not line:
                return "", f"the server ended without READY: {head}"
            head += line
            if line.startswith("READY "):
                break
        port = line.split()[1]
        client = subprocess.run(
            command(client_language, build, f"tcp_echo_client_{kind}", port),
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        server.send_signal(signal.SIGINT)
        tail, _ = server.communicate(timeout=LIMIT)
        said = client.stdout + client.stderr + f"exit status {client.returncode}\n"
        return normalised(head + tail), said
    finally:
        server.kill()
        server.wait()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    passed = failed = 0

    def compare(what, expected, got):
        nonlocal passed, failed
        if expected == got:
            passed += 1
            print(f"ok    {what}")
        else:
            failed += 1
            print(f"FAIL  {what}\n--- Python:\n{expected}--- C++:\n{got}")

    for name in ALONE:
        compare(name, run_alone("python", build, name), run_alone("c++", build, name))
    for kind in ECHO:
        expected_server, expected_client = run_echo("python", "python", build, kind)
        for server in ("python", "c++"):
            for client in ("python", "c++"):
                said_by_server, said_by_client = run_echo(server, client, build, kind)
                compare(f"tcp_echo_{kind}: {server} server with {client} client, server's words", expected_server, said_by_server)
                compare(f"tcp_echo_{kind}: {server} server with {client} client, client's words", expected_client, said_by_client)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


main()
