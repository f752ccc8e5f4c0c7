-- The relay: messages on their way, accepted ones that wait, delegations, and what
-- other services must still be told.

CREATE SCHEMA relay;

-- A message that is being sent. The row is there before the agent is dialled, and
-- until the activity log has the outcome.
CREATE TABLE relay.intents (
    id uuid PRIMARY KEY,
    -- The activity row without its outcome, as candor.activity.v1.ForwardedRow.
    activity bytea NOT NULL,
    -- After it nobody waits for an answer any more.
    deadline timestamptz NOT NULL,
    -- The process that sends it.
    owner uuid NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Relays that run: each says so every few seconds.
CREATE TABLE relay.processes (
    id uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What other services must be told, in this order. A row is deleted once it is told.
CREATE TABLE relay.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- activity: candor.activity.v1.ForwardItem; event: candor.registry.v1.Event that
    -- is stored; transient: one that is only shown.
    kind text NOT NULL CHECK (kind IN ('activity', 'event', 'transient')),
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What the relay knows of a workspace; its row is the lock of those who take its
-- messages.
CREATE TABLE relay.targets (
    workspace_id uuid PRIMARY KEY,
    -- Answers count for its health.
    observed boolean NOT NULL DEFAULT true,
    canary boolean NOT NULL DEFAULT false
);

-- The ledger: accepted messages.
CREATE TABLE relay.entries (
    id uuid PRIMARY KEY,
    -- The order of acceptance.
    n bigint GENERATED ALWAYS AS IDENTITY,
    workspace_id uuid NOT NULL,
    -- Who sent it: a workspace's id, `user`, `anonymous`, or a system's name.
    caller text NOT NULL,
    -- The same as candor.activity.v1.Source.
    source bytea NOT NULL,
    message_id text,
    method text NOT NULL,
    priority smallint NOT NULL,
    body bytea NOT NULL,
    a2a_version text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'accepted'
        CHECK (state IN ('accepted', 'leased', 'delivered', 'failed', 'dropped', 'expired')),
    -- Fetched by the workspace itself, which has no address.
    polled boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL,
    maybe_delivered boolean NOT NULL DEFAULT false,
    -- Attempts that ended without an answer in time, or with one that says to come
    -- again.
    fruitless integer NOT NULL DEFAULT 0,
    last_error text,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner uuid,
    lease_until timestamptz,
    expires_at timestamptz NOT NULL,
    settled_at timestamptz,
    activity_id uuid NOT NULL,
    delegation_id text,
    -- Its row in the activity log is there.
    listed boolean NOT NULL DEFAULT true
);
-- One open entry for a message: the same again joins it.
CREATE UNIQUE INDEX entries_message ON relay.entries (workspace_id, caller, message_id)
    WHERE state IN ('accepted', 'leased');
CREATE INDEX entries_open ON relay.entries (workspace_id, priority DESC, n)
    WHERE state IN ('accepted', 'leased');
CREATE INDEX entries_due ON relay.entries (next_attempt_at) WHERE state = 'accepted';
CREATE INDEX entries_expiry ON relay.entries (expires_at) WHERE state = 'accepted';
CREATE INDEX entries_polled ON relay.entries (workspace_id) WHERE state = 'accepted' AND polled;
CREATE INDEX entries_leased ON relay.entries (lease_until) WHERE state = 'leased';
CREATE INDEX entries_settled ON relay.entries (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX entries_activity ON relay.entries (activity_id);

-- Tasks that one workspace handed to another.
CREATE TABLE relay.delegations (
    source_id uuid NOT NULL,
    id text NOT NULL,
    n bigint GENERATED ALWAYS AS IDENTITY,
    target_id uuid,
    -- The workspace sends it by itself.
    noted boolean NOT NULL DEFAULT false,
    idempotency_key text,
    -- Who delegates, as candor.activity.v1.Source.
    source_row bytea NOT NULL,
    status text NOT NULL
        CHECK (status IN ('pending', 'dispatched', 'queued', 'completed', 'failed')),
    error text,
    -- Text of the result, its beginning.
    preview text,
    -- Its rows in the activity log.
    activity_id uuid NOT NULL,
    result_activity_id uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    PRIMARY KEY (source_id, id)
);
CREATE UNIQUE INDEX delegations_key ON relay.delegations (source_id, idempotency_key)
    WHERE status <> 'failed';
CREATE INDEX delegations_settled ON relay.delegations (settled_at)
    WHERE settled_at IS NOT NULL;
CREATE INDEX delegations_newest ON relay.delegations (source_id, n DESC);

-- What an older platform still had to deliver. Its own table stays as it was. Nothing
-- in the activity log is the row of such a message: it gets one at its end.
INSERT INTO relay.entries
    (id, workspace_id, caller, source, message_id, method, priority, body, attempts,
     maybe_delivered, last_error, accepted_at, expires_at, activity_id, listed)
SELECT q.id, q.workspace_id, coalesce(q.caller_id::text, 'user'),
       -- Source { kind: ANONYMOUS }, or { kind: WORKSPACE, id, auth: "claimed" }: that
       -- platform proved it, to itself only.
       CASE WHEN q.caller_id IS NULL THEN '\x0804'::bytea
            ELSE '\x08021224'::bytea || convert_to(q.caller_id::text, 'UTF8')
                 || '\x1a07'::bytea || convert_to('claimed', 'UTF8') END,
       CASE WHEN octet_length(q.idempotency_key) BETWEEN 1 AND 512 THEN q.idempotency_key END,
       left(coalesce(q.method, ''), 200), q.priority, convert_to(q.body::text, 'UTF8'),
       q.attempts, q.status = 'dispatched', q.last_error, q.enqueued_at,
       coalesce(q.expires_at, now() + interval '24 hours'), gen_random_uuid(), false
FROM public.a2a_queue q
WHERE q.status IN ('queued', 'dispatched')
ORDER BY q.priority DESC, q.enqueued_at;
