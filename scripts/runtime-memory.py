"""Runs the program that is named for 1,000 beats, and says what it keeps in memory."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEATS, WARM, MOST, GROWTH = 1000, 200, 24 * 1024, 1024  # KiB
beats = 0
counted = threading.Condition()


class Platform(BaseHTTPRequestHandler):
    """Takes everything, and wants beats soon."""

    protocol_version = "HTTP/1.1"

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer([])

    def do_POST(self):
        global beats
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/registry/heartbeat":
            with counted:
                beats += 1
                counted.notify_all()
        self.answer({"status": "ok", "next_heartbeat_after": 0.03})

    def log_message(self, *_):
        pass


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def after(number):
    with counted:
        if not counted.wait_for(lambda: beats >= number, timeout=180):
            sys.exit(f"check-runtime-memory: {beats} beats in three minutes")


server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
threading.Thread(target=server.serve_forever, daemon=True).start()
with tempfile.TemporaryDirectory() as configs:
    environment = {
        "WORKSPACE_ID": "0b5f8f6a-1d60-4d5e-9c5b-6b7f2f1f0a11",
        "PLATFORM_URL": f"http://127.0.0.1:{server.server_port}",
        "CONFIGS_DIR": configs,
        "CANDOR_LISTEN": "127.0.0.1:0",
        "CANDOR_EXECUTOR": "echo",
        "PATH": os.environ["PATH"],
    }
    agent = subprocess.Popen([sys.argv[1]], env=environment, stderr=subprocess.DEVNULL)
    try:
        after(WARM)
        early = resident(agent.pid)
        after(BEATS)
        late = resident(agent.pid)
    finally:
        agent.terminate()
        agent.wait(timeout=30)
print(f"check-runtime-memory: {early} KiB after {WARM} beats, {late} KiB after {BEATS}")
if late > MOST or late - early > GROWTH:
    sys.exit(f"check-runtime-memory: more than {MOST} KiB, or than {GROWTH} KiB of growth")
