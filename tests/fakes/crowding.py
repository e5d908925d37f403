"""Open idle connections. Run as `python crowding.py PORT COUNT`. The connections stay open until its input ends."""

import contextlib
import resource
import socket
import sys
import threading

HEAD = b"POST /auth/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\n"
OPENINGS = (b"", b"GET /heal", HEAD, HEAD + FORM)


@contextlib.contextmanager
def crowd(port, count):
    """Open connections that send nothing, half a request line, half a head, or a head without body, then single bytes."""
    made, stopping, thread = [], threading.Event(), None

    def trickle():
        while not stopping.wait(0.5):
            for number, one in enumerate(made):
                if OPENINGS[number % len(OPENINGS)]:
                    with contextlib.suppress(OSError):
                        one.send(b"x")

    try:
        for number in range(count):
            one = socket.create_connection(("127.0.0.1", port), timeout=300)
            with contextlib.suppress(OSError):
                one.sendall(OPENINGS[number % len(OPENINGS)])
            made.append(one)
        thread = threading.Thread(target=trickle)
        thread.start()
        yield made
    finally:
        stopping.set()
        if thread is not None:
            thread.join()
        for one in made:
            one.close()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with crowd(int(sys.argv[1]), int(sys.argv[2])):
        sys.stdout.write("crowded\n")
        sys.stdout.flush()
        sys.stdin.read()
