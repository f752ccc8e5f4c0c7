"""The official SDK's client of A2A 1.0, before the runtime itself, over the interface
of the version that is named."""

import asyncio
import sys
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import (
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

address, version = sys.argv[1:3]


def request(text, **more):
    message = Message(role=Role.ROLE_USER, message_id=str(uuid.uuid4()), parts=[Part(text=text)])
    return SendMessageRequest(message=message, **more)


def check(what, good, seen):
    if not good:
        sys.exit(f"check-a2a-runtime: 1.x client, {version}: {what}: {seen!r}")
    print(f"check-a2a-runtime: 1.x client, {version}: {what}")


def text_of(parts):
    return "".join(part.text for part in parts)


async def error_of(asking):
    """What the SDK makes of an answer that is an error."""
    try:
        return [event async for event in asking] if hasattr(asking, "__aiter__") else await asking
    except Exception as error:
        return error


def client_of(card, http, streaming):
    only = type(card)()
    only.CopyFrom(card)
    interfaces = [one for one in card.supported_interfaces if one.protocol_version == version]
    del only.supported_interfaces[:]
    only.supported_interfaces.extend(interfaces)
    return ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(only)


async def main():
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, address).get_agent_card()
        versions = [one.protocol_version for one in card.supported_interfaces]
        urls = {one.url for one in card.supported_interfaces}
        good = versions == ["1.0", "0.3"] and urls == {address + "/"}
        check("reads the card", good and card.capabilities.streaming, card)
        plain, streams = client_of(card, http, False), client_of(card, http, True)
        events = [event async for event in plain.send_message(request("a b c"))]
        answer = events[0].message
        good = len(events) == 1 and text_of(answer.parts) == "Echo: a b c"
        check("sends a message", good and answer.role == Role.ROLE_AGENT, events)

        events = [event async for event in streams.send_message(request("a b c"))]
        task = events[0].task
        chunks = [
            text_of(event.artifact_update.artifact.parts)
            for event in events
            if event.HasField("artifact_update")
        ]
        last = events[-1].status_update.status.state
        good = (
            "".join(chunks) == "Echo: a b c"
            and last == TaskState.TASK_STATE_COMPLETED
            and task.status.state == TaskState.TASK_STATE_SUBMITTED
        )
        check(f"streams a message, in {len(events)} events, {len(chunks)} chunks", good, events)
        read = await plain.get_task(GetTaskRequest(id=task.id))
        good = read.status.state == TaskState.TASK_STATE_COMPLETED
        check("reads the task", good and text_of(read.artifacts[0].parts) == "Echo: a b c", read)

        at_once = SendMessageConfiguration(return_immediately=True)
        events = [e async for e in plain.send_message(request("wait", configuration=at_once))]
        task = events[0].task
        check("is given a task at once", task.id != "", events)
        if version == "1.0":
            pages = ListTasksRequest(page_size=2)
            seen = await error_of(plain.list_tasks(pages))
            check("lists no tasks of others", isinstance(seen, UnsupportedOperationError), seen)
            token = {"authorization": "Bearer secret"}
            async with httpx.AsyncClient(timeout=30, headers=token) as proven:
                page = await client_of(card, proven, False).list_tasks(pages)
            good = page.tasks[0].id == task.id and page.total_size == 3 and page.next_page_token
            check("lists tasks with the token", good, page)
        follower = streams.subscribe(SubscribeToTaskRequest(id=task.id))
        first = await anext(follower)
        check("follows it", first.task.id == task.id, first)
        ended = await plain.cancel_task(CancelTaskRequest(id=task.id))
        check("cancels it", ended.status.state == TaskState.TASK_STATE_CANCELED, ended)
        rest = [event async for event in follower]
        good = rest[-1].status_update.status.state == TaskState.TASK_STATE_CANCELED
        check("sees its end where it follows", good, rest)

        seen = await error_of(plain.cancel_task(CancelTaskRequest(id=task.id)))
        check("cannot cancel it again", isinstance(seen, TaskNotCancelableError), seen)
        seen = await error_of(plain.get_task(GetTaskRequest(id="no-such-task")))
        check("is told that there is no such task", isinstance(seen, TaskNotFoundError), seen)
        seen = await error_of(plain.send_message(request("fail x")))
        check(f"is told why a turn failed: {seen}", "this failed: fail x" in str(seen), seen)
        events = [event async for event in streams.send_message(request("fail x"))]
        status = events[-1].status_update.status
        good = status.state == TaskState.TASK_STATE_FAILED
        good = good and text_of(status.message.parts) == "this failed: fail x"
        check("sees in a stream why a turn failed", good, events)

        await error_of(plain.send_message(request("wedge")))
        reason = "workspace agent is wedged: Control request timeout: initialize"
        for how, client in (("sent", plain), ("streamed", streams)):
            seen = await error_of(client.send_message(request("hello")))
            check(f"is told that the agent is wedged ({how}): {seen}", reason in str(seen), seen)


asyncio.run(main())
