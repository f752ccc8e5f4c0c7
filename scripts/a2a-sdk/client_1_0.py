"""The official SDK's client of A2A 1.0 at the address of a workspace: over JSON-RPC
in both versions that it speaks, and over gRPC with the workspace as tenant."""

import asyncio
import sys
import uuid

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import (
    AgentInterface,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotFoundError

address, name, grpc_address, tenant = sys.argv[1:5]


def request():
    parts = [Part(text="hello")]
    message = Message(role=Role.ROLE_USER, message_id=str(uuid.uuid4()), parts=parts)
    return SendMessageRequest(message=message)


def is_echo(task):
    return (
        task.status.state == TaskState.TASK_STATE_COMPLETED
        and task.artifacts[0].parts[0].text == "echo: hello"
    )


def check(binding, what, good, seen):
    if not good:
        sys.exit(f"check-a2a-sdk: 1.0 client, {binding}, {name}: {what}: {seen!r}")
    print(f"check-a2a-sdk: 1.0 client, {binding}, {name}: {what}")


def interfaces(card):
    """One card a binding, so that each is used."""
    for interface in card.supported_interfaces:
        yield f"JSON-RPC {interface.protocol_version}", interface
    yield "gRPC", AgentInterface(
        url=grpc_address, protocol_binding="GRPC", protocol_version="1.0", tenant=tenant
    )


async def use(card, binding, interface, http):
    only = type(card)()
    only.CopyFrom(card)
    del only.supported_interfaces[:]
    only.supported_interfaces.append(interface)
    for streaming in (False, True):
        config = ClientConfig(
            httpx_client=http,
            streaming=streaming,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=["JSONRPC", "GRPC"],
        )
        client = ClientFactory(config).create(only)
        events = [event async for event in client.send_message(request())]
        if streaming:
            states = [e.status_update.status.state for e in events if e.HasField("status_update")]
            artifacts = [e.artifact_update.artifact for e in events if e.HasField("artifact_update")]
            good = (
                states[-1:] == [TaskState.TASK_STATE_COMPLETED]
                and len(states) >= 2
                and artifacts[0].parts[0].text == "echo: hello"
            )
            check(binding, "streams a message", good, events)
        else:
            task = events[0].task
            check(binding, "sends a message", len(events) == 1 and is_echo(task), events)
    again = await client.get_task(GetTaskRequest(id=task.id))
    check(binding, "reads the task", is_echo(again), again)
    try:
        seen = await client.get_task(GetTaskRequest(id="no-such-task"))
    except TaskNotFoundError as error:
        seen = error
    except Exception as error:
        sys.exit(f"check-a2a-sdk: 1.0 client, {binding}, {name}: no such task: {error!r}")
    told = isinstance(seen, TaskNotFoundError)
    check(binding, "is told that there is no such task", told, seen)


async def main():
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, address).get_agent_card()
        urls = {interface.url for interface in card.supported_interfaces}
        check("card", "points at the platform", urls == {address}, card)
    for binding, interface in interfaces(card):
        async with httpx.AsyncClient(timeout=30) as http:
            await use(card, binding, interface, http)


asyncio.run(main())
