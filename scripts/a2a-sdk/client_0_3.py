"""The official SDK's client of A2A 0.3 at the address of a workspace."""

import asyncio
import sys
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.types import Message, Part, Role, Task, TaskQueryParams, TextPart

address, name = sys.argv[1:3]


def message():
    return Message(
        role=Role.user, message_id=str(uuid.uuid4()), parts=[Part(root=TextPart(text="hello"))]
    )


def check(what, good, seen):
    if not good:
        sys.exit(f"check-a2a-sdk: 0.3 client, {name}: {what}: {seen!r}")
    print(f"check-a2a-sdk: 0.3 client, {name}: {what}")


def is_echo(task):
    return (
        isinstance(task, Task)
        and task.status.state.value == "completed"
        and task.artifacts[0].parts[0].root.text == "echo: hello"
    )


async def main():
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, address).get_agent_card()
        check("the card points at the platform", card.url == address, card)
        for streaming in (False, True):
            config = ClientConfig(httpx_client=http, streaming=streaming)
            client = ClientFactory(config).create(card)
            events = [event async for event in client.send_message(message())]
            task = events[-1][0]
            how = "streams" if streaming else "sends"
            several = len(events) >= 3 if streaming else len(events) == 1
            check(f"{how} a message", several and is_echo(task), events)
        again = await client.get_task(TaskQueryParams(id=task.id))
        check("reads the task", is_echo(again), again)
        try:
            seen = await client.get_task(TaskQueryParams(id="no-such-task"))
        except A2AClientError as error:
            seen = error
        code = getattr(getattr(seen, "error", None), "code", None)
        check("is told that there is no such task", code == -32001, seen)


asyncio.run(main())
