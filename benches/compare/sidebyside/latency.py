"""Event to WebSocket frame: how old an event is when the change it made reaches a subscriber.

Batches leave at a fixed schedule, and a batch's age counts from the moment it was due, not from the
moment it was sent: a server that stalls can't hide the events that had to wait. Sender and receiver
are processes of their own; both read the machine's monotonic clock. Every batch carries its number
in each row, and the view keeps the highest: the first frame with a number of at least k is the one
that shows batch k.
"""

import json
import multiprocessing
import socket
import time

from .process import Failed
from .table import show

REGIONS = 8
VIEW = (
    "CREATE MATERIALIZED VIEW event_ages AS SELECT region, COUNT(*) AS n, MAX(number) AS newest "
    "FROM events WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY region"
)
# Batches an hour of event time wide would split; all rows lie in the window that starts here.
EVENT_TIME = 1_451_606_400_000_000_000
PLACEHOLDER = b"@@@@@@@@"


def batch_template(rows):
    """The text of one batch; PLACEHOLDER stands for its number, eight digits wide, wherever it is.

    The last digits of the event time are the number, too: no series has the same time twice.
    """
    base = str(EVENT_TIME)[:-8].encode()
    lines = []
    for i in range(rows):
        lines.append(b"events,key=k%d,region=r%d number=1%si,amount=%d.25 %s%s\n"
                     % (i, i % REGIONS, PLACEHOLDER, i % 500, base, PLACEHOLDER))
    return b"".join(lines)


def _send(port, path, rate, rows, seconds, start, share, pipe):
    """One connection: sends its share of the batches on schedule; pipes the error, or None."""
    template = batch_template(rows)
    head = (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(template)}\r\n\r\n").encode()
    own, of = share
    period = rows / rate
    worst = 0.0
    try:
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(own, int(seconds / period), of):
                body = template.replace(PLACEHOLDER, b"%08d" % number)
                wait = start + number * period - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                worst = max(worst, time.monotonic() - (start + number * period))
                link.sendall(head + body)
                reply = link.recv(65536)
                if not reply.startswith(b"HTTP/1.1 204"):
                    raise Failed(f"a batch was refused: {reply[:200]!r}")
        pipe.send((None, worst))
    except (OSError, Failed) as error:
        pipe.send((str(error), worst))


def _receive(port, last, limit, pipe):
    """Subscribes and notes (number, moment) for each frame that brings a higher number."""
    from websockets.sync.client import connect

    seen = []
    try:
        with connect(f"ws://127.0.0.1:{port}/ws", max_size=None, compression=None) as link:
            link.send(json.dumps({"action": "subscribe", "topics": ["view:event_ages"]}))
            place, top, end = None, -1, time.monotonic() + limit
            while top < last and time.monotonic() < end:
                text = link.recv(timeout=max(0.01, end - time.monotonic()))
                now = time.monotonic()
                frame = json.loads(text)
                if frame["type"] == "error":
                    raise Failed(f"the server answered the subscription with {text}")
                if frame["type"] == "subscribed":
                    names = [column["name"] if isinstance(column, dict) else column for column in frame["columns"]]
                    place = names.index("newest")
                    pipe.send("subscribed")
                rows = frame.get("insert") or frame.get("rows") or []
                number = max((int(row[place]) - 100_000_000 for row in rows if row[place] is not None), default=-1)
                if number > top:
                    top = number
                    seen.append((number, now))
        pipe.send((None, seen))
    except Exception as error:  # the harness must hear of it, whatever it was
        pipe.send((f"{type(error).__name__}: {error}", seen))


def ages(seen, batches, start, period):
    """Age in ms of every batch when it was first shown, and how many never were."""
    result, place = [], 0
    for number in range(batches):
        while place < len(seen) and seen[place][0] < number:
            place += 1
        if place == len(seen):
            return result, batches - number
        result.append((seen[place][1] - (start + number * period)) * 1e3)
    return result, 0


def run(peer, options, folder):
    """Measures and prints; returns a list of problems."""
    rate, rows, seconds = options.rate, options.rows_per_batch, options.seconds
    period, batches = rows / rate, int(seconds / (rows / rate))
    context = multiprocessing.get_context("fork")
    peer.start(folder)
    try:
        # One row makes the stream; its number is below every batch's.
        first = f"events,key=first,region=r0 number=0i,amount=0.25 {EVENT_TIME}\n"
        peer.http.expect("POST", peer.write_path, first.encode())
        peer.sql(VIEW)
        ours, theirs = context.Pipe()
        receiver = context.Process(target=_receive, args=(peer.port, batches - 1, seconds + 30, theirs), daemon=True)
        receiver.start()
        said = ours.recv()
        if said != "subscribed":
            return [f"the subscription failed: {said[0]}"]
        start = time.monotonic() + 0.5
        senders = []
        for own in range(options.senders):
            mine, other = context.Pipe()
            job = (peer.port, peer.write_path, rate, rows, seconds, start, (own, options.senders), other)
            senders.append((context.Process(target=_send, args=job, daemon=True), mine))
            senders[-1][0].start()
        sent = [pipe.recv() for _, pipe in senders]
        problem, seen = ours.recv()
        counted = peer.sql("SELECT count(*) AS n FROM events")[0][0]
    finally:
        peer.stop(cleaning=True)
    problems = [f"sender: {error}" for error, _ in sent if error] + ([f"receiver: {problem}"] if problem else [])
    took, never = ages(seen, batches, start, period)
    took.sort()
    if never:
        problems.append(f"{never} of {batches} batches were never shown")
    if counted != batches * rows + 1:
        problems.append(f"count(*) is {counted}, sent were {batches * rows + 1}")
    cells = [took[min(len(took) - 1, int(len(took) * share))] for share in (0.5, 0.9, 0.99, 0.999)] if took else ["-"] * 4
    show(f"Event to WebSocket frame, {rate:,} events/s in batches of {rows} on {options.senders} connections, {seconds} s",
         ["engine", "p50 ms", "p90", "p99", "p99.9", "max", "frames"],
         [[peer.name, *cells, took[-1] if took else "-", len(seen)]],
         [f"the sender itself was late by at most {max(w for _, w in sent) * 1e3:.1f} ms; that is in the ages"])
    return problems
