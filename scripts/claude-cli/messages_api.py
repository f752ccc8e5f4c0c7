"""A stand-in for the Messages API, streaming, as far as the Claude CLI needs it.

It prints its port. Behind the prompt `run: COMMAND` it asks for the tool Bash; behind a
tool's result it says that result; anything else it says back. `fail: STATUS TIMES` is
answered with that status so many times. What it was asked is a JSON line in FILE.

messages_api.py FILE"""
import http.server, itertools, json, re, sys

ASKED = open(sys.argv[1], "a", buffering=1)
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
failed = {}
# The CLI takes two messages, or two uses of a tool, with one id for the same.
ids = itertools.count(1)


def text_of(content):
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content if block.get("type") == "text")


def last_words(messages):
    """What the person said last, and the result of a tool after that."""
    prompt, result = "", None
    for message in messages:
        if message["role"] != "user":
            continue
        results = [b for b in message["content"] if isinstance(b, dict) and b.get("type") == "tool_result"]
        if results:
            content = results[-1]["content"]
            result = ("error: " if results[-1].get("is_error") else "") + text_of(content)
            continue
        said = [line for line in text_of(message["content"]).splitlines() if line.startswith(("say: ", "run: ", "fail: "))]
        if said:
            prompt, result = said[-1], None
    return prompt, result


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.answer(200, {})

    def do_GET(self):
        self.answer(404, {})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
            return self.answer(200, {"input_tokens": 1})
        prompt, result = last_words(request["messages"])
        ASKED.write(json.dumps({"prompt": prompt, "result": result, "messages": len(request["messages"])}) + "\n")
        fail = re.match(r"fail: (\d+) (\d+)", prompt)
        if fail and failed.get(prompt, 0) < int(fail[2]):
            failed[prompt] = failed.get(prompt, 0) + 1
            kind = ERRORS.get(int(fail[1]), "api_error")
            return self.answer(int(fail[1]), {"type": "error", "error": {"type": kind, "message": "as asked"}})
        tools = [tool.get("name") for tool in request.get("tools", [])]
        if prompt.startswith("run: ") and result is None and "Bash" in tools:
            command = {"command": prompt[5:], "description": "Do what was asked"}
            blocks, stop = [("text", "I look."), ("tool", command)], "tool_use"
        else:
            blocks, stop = [("text", prompt if result is None else result)], "end_turn"
        self.stream(request["model"], blocks, stop)

    def stream(self, model, blocks, stop):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

        def event(kind, **members):
            self.wfile.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode())

        event("message_start", message={
            "id": f"msg_{next(ids)}", "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 25, "output_tokens": 1}})
        for index, (kind, value) in enumerate(blocks):
            if kind == "text":
                start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": value}
            else:
                start = {"type": "tool_use", "id": f"toolu_{next(ids)}", "name": "Bash", "input": {}}
                delta = {"type": "input_json_delta", "partial_json": json.dumps(value)}
            event("content_block_start", index=index, content_block=start)
            event("content_block_delta", index=index, delta=delta)
            event("content_block_stop", index=index)
        event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 12})
        event("message_stop")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
print(server.server_address[1], flush=True)
server.serve_forever()
