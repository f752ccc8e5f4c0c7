"""Turns of the executor `claude-code` with the real CLI; see scripts/check-claude-cli.

check.py CLAUDE CLAUDE-TURN"""
import glob, json, os, subprocess, sys, tempfile

CLAUDE, TURN = sys.argv[1:]
HERE = os.path.dirname(os.path.abspath(__file__))


def check(what, good, seen):
    if not good:
        sys.exit(f"check-claude-cli: {what}: {json.dumps(seen)[:4000]}")
    print("check-claude-cli:", what)


class Place:
    """An agent's folder, with a home of its own."""

    def __init__(self, root, name, port):
        self.folder = os.path.join(root, name)
        self.home = os.path.join(self.folder, "home")
        os.makedirs(self.home)
        os.makedirs(self.path("work"))
        # Nothing of whoever runs this: no account, no settings, no other API.
        self.env = {
            "PATH": os.environ["PATH"], "HOME": self.home, "ANTHROPIC_API_KEY": "sk-ant-none",
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "CLAUDE_CODE_MAX_RETRIES": "0"}

    def path(self, name):
        return os.path.join(self.folder, name)

    def turn(self, prompt, mode="default", *cancel, claude=CLAUDE):
        done = subprocess.run([TURN, claude, self.folder, mode, prompt, *cancel], env=self.env,
                              stdout=subprocess.PIPE, text=True, timeout=120)
        return json.loads(done.stdout)

    def session(self):
        with open(self.path("session")) as file:
            return file.read()


def running(home):
    """Processes with this home: the CLI, and what it started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"HOME={home}".encode() in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            pass
    return found


def run(root, port, asked):
    place = Place(root, "first", port)
    seen = place.turn("run: echo from-the-tool")
    answer, updates = seen["outcome"], seen["updates"]
    check("a turn with a tool is answered", answer.get("text") == "from-the-tool", seen)
    check("the tool is told while it is used, and in the trace",
          {"tool": "Bash", "summary": "Do what was asked"} in updates
          and answer["metadata"]["tool_trace"][0]["tool"] == "Bash", seen)
    check("text comes in pieces", [u["text"] for u in updates if "text" in u] == ["I look.", "\n\nfrom-the-tool"], seen)
    check("tokens are counted", answer["metadata"]["usage"] == {"input_tokens": 50, "output_tokens": 24}, seen)
    types = [line.get("type") for line in seen["transcript"]["lines"]]
    check("the transcript is found where the CLI keeps it", "user" in types and "assistant" in types, seen["transcript"])

    session = place.session()
    seen = place.turn("say: once more")
    with open(asked) as file:
        messages = [json.loads(line)["messages"] for line in file]
    check("the session goes on in another process", seen["outcome"].get("text") == "say: once more"
          and place.session() == session and messages[-1] > messages[0], [seen, messages])

    with open(place.path("session"), "w") as file:
        file.write("11111111-2222-4333-8444-555555555555")
    seen = place.turn("say: who are you")
    check("a session that the CLI does not know is forgotten",
          seen["outcome"].get("text") == "say: who are you" and not place.session().startswith("1111"), seen)

    made = place.path("work/made")
    seen = place.turn(f"run: touch {made}; curl -s http://127.0.0.1:{port}/x")
    check("what needs leave is denied, and the turn goes on", not os.path.exists(made)
          and "permission that this agent does not have" in seen["outcome"].get("text", ""), seen)
    seen = place.turn(f"run: touch {made}; curl -s http://127.0.0.1:{port}/x", "bypassPermissions")
    check("or allowed, also as root", os.path.exists(made) and "text" in seen["outcome"], seen)

    for status in (429, 529, 500):
        seen = place.turn(f"fail: {status} 2")
        check(f"status {status} is tried again, and no word of the agent's",
              seen["outcome"].get("text") == f"fail: {status} 2"
              and not any("API Error" in u.get("text", "") for u in seen["updates"]), seen)
    seen = place.turn("fail: 529 9")
    check("three times", "529" in seen["outcome"].get("error", ""), seen)
    with open(asked) as file:
        tries = sum("fail: 529 9" in line for line in file)
    check("and no more", tries == 3, tries)
    for status in (400, 401):
        # The CLI itself may ask the API twice, but is started once.
        other = Place(root, str(status), port)
        seen = other.turn(f"fail: {status} 9")
        sessions = glob.glob(os.path.join(other.home, ".claude/projects/*/*.jsonl"))
        check(f"status {status} is not tried again",
              str(status) in seen["outcome"].get("error", "") and len(sessions) == 1, [sessions, seen])

    started = place.path("started")
    seen = place.turn(f"run: touch {started}; tail -f /dev/null", "bypassPermissions", started)
    check("a turn is cancelled while its tool runs", seen["outcome"].get("error") == "the task was cancelled", seen)
    check("and leaves neither the CLI nor the tool", not running(place.home), running(place.home))
    session = place.session()
    seen = place.turn("say: and on")
    check("the next turn goes on in the session", seen["outcome"].get("text") == "say: and on"
          and place.session() == session, seen)

    stopped = place.path("stopped")
    with open(stopped, "w") as file:
        file.write(f'#!/bin/sh\n"{CLAUDE}" "$@" <&0 &\nkill -STOP $!\nwait\n')
    os.chmod(stopped, 0o700)
    place.env["CANDOR_CLAUDE_INIT_TIMEOUT"] = "2"
    seen = place.turn("say: anything", claude=stopped)
    check("one that is stopped does not answer initialize",
          seen["outcome"].get("error", "").startswith("Control request timeout: initialize\n"), seen)
    check("and is not left behind", not running(place.home), running(place.home))


with tempfile.TemporaryDirectory() as root:
    asked = os.path.join(root, "asked")
    api = subprocess.Popen([sys.executable, os.path.join(HERE, "messages_api.py"), asked],
                           stdout=subprocess.PIPE, text=True)
    try:
        run(root, int(api.stdout.readline()), asked)
    finally:
        api.kill()
        api.wait()
