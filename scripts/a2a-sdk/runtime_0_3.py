"""The official SDK's client of A2A 0.3, before the runtime itself."""

import asyncio
import sys
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.types import (
    Message,
    MessageSendConfiguration,
    Part,
    Role,
    Task,
    TaskIdParams,
    TaskQueryParams,
    TextPart,
)

address = sys.argv[1]


def message(text, **more):
    return Message(
        role=Role.user, message_id=str(uuid.uuid4()), parts=[Part(root=TextPart(text=text))], **more
    )


def check(what, good, seen):
    if not good:
        sys.exit(f"check-a2a-runtime: 0.3 client: {what}: {seen!r}")
    print(f"check-a2a-runtime: 0.3 client: {what}")


def text_of(parts):
    return "".join(part.root.text for part in parts)


async def error_of(asking):
    """What the SDK makes of an answer that is an error."""
    try:
        return None, [event async for event in asking] if hasattr(asking, "__aiter__") else await asking
    except A2AClientError as error:
        return getattr(error, "error", error), error


async def main():
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, address).get_agent_card()
        good = card.url == address + "/" and card.protocol_version == "0.3.0"
        check("reads the card", good and card.capabilities.streaming, card)
        plain = ClientFactory(ClientConfig(httpx_client=http, streaming=False)).create(card)
        events = [event async for event in plain.send_message(message("a b c"))]
        answer = events[0]
        good = isinstance(answer, Message) and text_of(answer.parts) == "Echo: a b c"
        check("sends a message", good and len(events) == 1, events)
        again = [e async for e in plain.send_message(message("d", context_id=answer.context_id))]
        check("goes on with the conversation", again[0].context_id == answer.context_id, again)

        streams = ClientFactory(ClientConfig(httpx_client=http, streaming=True)).create(card)
        events, chunks = [], []
        async for event in streams.send_message(message("a b c")):
            events.append(event)
            # The SDK adds later chunks to the first one's parts.
            if event[1] is not None and event[1].kind == "artifact-update":
                chunks.append(event[1].artifact.parts[-1].root.text)
        task, last = events[-1]
        good = (
            task.status.state.value == "completed"
            and last.final
            and "".join(chunks) == "Echo: a b c"
            and text_of(task.artifacts[0].parts) == "Echo: a b c"
        )
        check(f"streams a message, in {len(events)} events, {len(chunks)} chunks", good, events)
        read = await plain.get_task(TaskQueryParams(id=task.id))
        good = read.status.state.value == "completed"
        check("reads the task", good and text_of(read.artifacts[0].parts) == "Echo: a b c", read)

        at_once = MessageSendConfiguration(blocking=False)
        events = [e async for e in plain.send_message(message("wait"), configuration=at_once)]
        task = events[0][0]
        check("is given a task at once", isinstance(task, Task), events)
        follower = streams.resubscribe(TaskIdParams(id=task.id))
        first = await anext(follower)
        check("follows it", first[0].id == task.id, first)
        ended = await plain.cancel_task(TaskIdParams(id=task.id))
        check("cancels it", ended.status.state.value == "canceled", ended)
        rest = [event async for event in follower]
        good = rest[-1][1].status.state.value == "canceled" and rest[-1][1].final
        check("sees its end where it follows", good, rest)

        error, seen = await error_of(plain.cancel_task(TaskIdParams(id=task.id)))
        check("cannot cancel it again", getattr(error, "code", None) == -32002, seen)
        error, seen = await error_of(plain.get_task(TaskQueryParams(id="no-such-task")))
        check("is told that there is no such task", getattr(error, "code", None) == -32001, seen)
        error, seen = await error_of(plain.send_message(message("fail x")))
        good = getattr(error, "message", None) == "this failed: fail x"
        check("is told why a turn failed", good, seen)
        events = [event async for event in streams.send_message(message("fail x"))]
        status = events[-1][0].status
        good = status.state.value == "failed" and text_of(status.message.parts) == "this failed: fail x"
        check("sees in a stream why a turn failed", good, events)

        await error_of(plain.send_message(message("wedge")))
        reason = "workspace agent is wedged: Control request timeout: initialize"
        for how, client in (("sent", plain), ("streamed", streams)):
            error, seen = await error_of(client.send_message(message("hello")))
            good = reason in f"{getattr(error, 'message', '')} {seen}"
            check(f"is told that the agent is wedged ({how}): {seen}", good, seen)


asyncio.run(main())
