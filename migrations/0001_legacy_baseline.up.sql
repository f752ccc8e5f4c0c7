-- The shape a legacy database has at its migration 042, plus the table of its
-- dated migration 20260417000000 (contract: schema.md). Idempotent: on an empty
-- database it creates everything, on a legacy one it creates what is missing,
-- including the columns that later legacy migrations added to older tables. It
-- never alters or drops what exists, so the status column may already be the
-- enum of legacy migration 043; 0043 sorts that out.

-- === workspaces ===

CREATE TABLE IF NOT EXISTS public.workspaces (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    role text,
    tier integer DEFAULT 1,
    status text DEFAULT 'provisioning',
    source_bundle_id text,
    agent_card jsonb,
    url text,
    parent_id uuid REFERENCES public.workspaces (id),
    forwarded_to uuid REFERENCES public.workspaces (id),
    last_heartbeat_at timestamptz,
    last_error_rate double precision DEFAULT 0,
    last_sample_error text,
    active_tasks integer DEFAULT 0,
    uptime_seconds integer DEFAULT 0,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
ALTER TABLE public.workspaces
    ADD COLUMN IF NOT EXISTS current_task text,
    ADD COLUMN IF NOT EXISTS awareness_namespace text,
    ADD COLUMN IF NOT EXISTS runtime text DEFAULT 'langgraph',
    ADD COLUMN IF NOT EXISTS workspace_dir text,
    ADD COLUMN IF NOT EXISTS workspace_access varchar(20) NOT NULL DEFAULT 'none'
        CONSTRAINT workspaces_workspace_access_check
        CHECK (workspace_access IN ('none', 'read_only', 'read_write')),
    -- Both in cents.
    ADD COLUMN IF NOT EXISTS budget_limit bigint,
    ADD COLUMN IF NOT EXISTS monthly_spend bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS hibernation_idle_minutes integer,
    ADD COLUMN IF NOT EXISTS last_outbound_at timestamptz,
    ADD COLUMN IF NOT EXISTS max_concurrent_tasks integer NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS instance_id text;
CREATE INDEX IF NOT EXISTS idx_workspaces_parent_id ON public.workspaces (parent_id);
CREATE INDEX IF NOT EXISTS idx_workspaces_status ON public.workspaces (status);
CREATE INDEX IF NOT EXISTS idx_workspaces_hibernation
    ON public.workspaces (hibernation_idle_minutes)
    WHERE hibernation_idle_minutes IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_workspaces_instance_id
    ON public.workspaces (instance_id)
    WHERE instance_id IS NOT NULL;

-- === credentials ===

CREATE TABLE IF NOT EXISTS public.workspace_auth_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE,
    prefix text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX IF NOT EXISTS workspace_auth_tokens_live_idx
    ON public.workspace_auth_tokens (workspace_id)
    WHERE revoked_at IS NULL;

CREATE TABLE IF NOT EXISTS public.org_api_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    token_hash bytea NOT NULL UNIQUE,
    prefix text NOT NULL,
    name text,
    created_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
ALTER TABLE public.org_api_tokens
    ADD COLUMN IF NOT EXISTS org_id uuid REFERENCES public.workspaces (id) ON DELETE SET NULL;
CREATE INDEX IF NOT EXISTS org_api_tokens_live_idx
    ON public.org_api_tokens (token_hash)
    WHERE revoked_at IS NULL;
CREATE INDEX IF NOT EXISTS org_api_tokens_org_id_idx
    ON public.org_api_tokens (org_id)
    WHERE org_id IS NOT NULL;

-- === activity and events ===

CREATE TABLE IF NOT EXISTS public.activity_logs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    activity_type text NOT NULL,
    source_id uuid,
    target_id uuid,
    method text,
    summary text,
    request_body jsonb,
    response_body jsonb,
    duration_ms integer,
    status text DEFAULT 'ok',
    error_detail text,
    created_at timestamptz DEFAULT now()
);
ALTER TABLE public.activity_logs
    ADD COLUMN IF NOT EXISTS idempotency_key text,
    ADD COLUMN IF NOT EXISTS tool_trace jsonb;
CREATE INDEX IF NOT EXISTS idx_activity_ws_type_time
    ON public.activity_logs (workspace_id, activity_type, created_at DESC);
CREATE INDEX IF NOT EXISTS idx_activity_created_at ON public.activity_logs (created_at);
CREATE UNIQUE INDEX IF NOT EXISTS activity_logs_idempotency_uniq
    ON public.activity_logs (workspace_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_activity_logs_tool_trace
    ON public.activity_logs USING gin (tool_trace)
    WHERE tool_trace IS NOT NULL;

CREATE TABLE IF NOT EXISTS public.structure_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_type text NOT NULL,
    workspace_id uuid,
    agent_id uuid,
    target_id uuid,
    payload jsonb,
    created_at timestamptz DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_events_workspace_id ON public.structure_events (workspace_id);
CREATE INDEX IF NOT EXISTS idx_events_created_at ON public.structure_events (created_at);

-- === messages ===

CREATE TABLE IF NOT EXISTS public.a2a_queue (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    caller_id uuid,
    priority smallint NOT NULL DEFAULT 50,
    body jsonb NOT NULL,
    method text,
    idempotency_key text,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    dispatched_at timestamptz,
    completed_at timestamptz,
    expires_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'dispatched', 'completed', 'dropped', 'failed')),
    last_error text
);
CREATE INDEX IF NOT EXISTS idx_a2a_queue_dispatch
    ON public.a2a_queue (workspace_id, priority DESC, enqueued_at)
    WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS idx_a2a_queue_expiry
    ON public.a2a_queue (expires_at)
    WHERE status = 'queued' AND expires_at IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS idx_a2a_queue_idempotency
    ON public.a2a_queue (workspace_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL AND status IN ('queued', 'dispatched');

-- === canvas ===

CREATE TABLE IF NOT EXISTS public.canvas_layouts (
    workspace_id uuid PRIMARY KEY REFERENCES public.workspaces (id) ON DELETE CASCADE,
    x double precision NOT NULL DEFAULT 0,
    y double precision NOT NULL DEFAULT 0,
    collapsed boolean DEFAULT false
);
CREATE INDEX IF NOT EXISTS idx_canvas_layouts_ws ON public.canvas_layouts (workspace_id);

CREATE TABLE IF NOT EXISTS public.canvas_viewport (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    x double precision NOT NULL DEFAULT 0,
    y double precision NOT NULL DEFAULT 0,
    zoom double precision NOT NULL DEFAULT 1,
    saved_at timestamptz DEFAULT now()
);

-- === usage ===

CREATE TABLE IF NOT EXISTS public.workspace_token_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    period_start timestamptz NOT NULL,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    call_count integer NOT NULL DEFAULT 0,
    estimated_cost_usd numeric(12, 6) NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workspace_token_usage_ws_period UNIQUE (workspace_id, period_start)
);

-- === agents, secrets, configuration ===

CREATE TABLE IF NOT EXISTS public.agents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid REFERENCES public.workspaces (id),
    model text NOT NULL,
    status text DEFAULT 'active',
    removed_at timestamptz,
    removal_reason text,
    created_at timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.workspace_secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id),
    key text NOT NULL,
    encrypted_value bytea NOT NULL,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    UNIQUE (workspace_id, key)
);
-- 0 = plain text (no key was configured), 1 = AES-256-GCM.
ALTER TABLE public.workspace_secrets
    ADD COLUMN IF NOT EXISTS encryption_version integer NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS public.global_secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key text NOT NULL UNIQUE,
    encrypted_value bytea NOT NULL,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
ALTER TABLE public.global_secrets
    ADD COLUMN IF NOT EXISTS encryption_version integer NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS public.workspace_config (
    workspace_id uuid PRIMARY KEY REFERENCES public.workspaces (id) ON DELETE CASCADE,
    data jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.workspace_memory (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    key text NOT NULL,
    value jsonb NOT NULL,
    expires_at timestamptz,
    updated_at timestamptz DEFAULT now(),
    UNIQUE (workspace_id, key)
);
ALTER TABLE public.workspace_memory
    ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 1;

-- === approvals and memories ===

CREATE TABLE IF NOT EXISTS public.approval_requests (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id),
    task_id text,
    action text NOT NULL,
    reason text,
    context jsonb,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'approved', 'denied', 'escalated')),
    decided_by text,
    decided_at timestamptz,
    created_at timestamptz DEFAULT now()
);

-- The legacy `embedding` column exists only where pgvector was installed, and
-- nothing ever wrote it; a fresh database does without.
CREATE TABLE IF NOT EXISTS public.agent_memories (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id),
    content text NOT NULL,
    scope text NOT NULL CHECK (scope IN ('LOCAL', 'TEAM', 'GLOBAL')),
    created_at timestamptz DEFAULT now()
);
ALTER TABLE public.agent_memories
    ADD COLUMN IF NOT EXISTS namespace varchar(50) NOT NULL DEFAULT 'general',
    ADD COLUMN IF NOT EXISTS content_tsv tsvector
        GENERATED ALWAYS AS (to_tsvector('english', content)) STORED;

-- === schedules, channels, plugins, artifacts ===

CREATE TABLE IF NOT EXISTS public.workspace_schedules (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    name text NOT NULL DEFAULT '',
    cron_expr text NOT NULL,
    timezone text NOT NULL DEFAULT 'UTC',
    prompt text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    last_run_at timestamptz,
    next_run_at timestamptz,
    run_count integer NOT NULL DEFAULT 0,
    last_status text,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);
ALTER TABLE public.workspace_schedules
    ADD COLUMN IF NOT EXISTS source text NOT NULL DEFAULT 'runtime'
        CONSTRAINT workspace_schedules_source_check CHECK (source IN ('template', 'runtime')),
    ADD COLUMN IF NOT EXISTS consecutive_empty_runs integer NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS public.workspace_channels (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    channel_type text NOT NULL,
    channel_config jsonb NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    allowed_users jsonb NOT NULL DEFAULT '[]',
    last_message_at timestamptz,
    message_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, channel_type)
);
ALTER TABLE public.workspace_channels
    ADD COLUMN IF NOT EXISTS channel_budget integer;

CREATE TABLE IF NOT EXISTS public.org_plugin_allowlist (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    plugin_name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, plugin_name)
);

CREATE TABLE IF NOT EXISTS public.workspace_artifacts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL UNIQUE REFERENCES public.workspaces (id) ON DELETE CASCADE,
    repo_name text NOT NULL,
    namespace text NOT NULL,
    remote_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- === audit, instructions, checkpoints ===

CREATE TABLE IF NOT EXISTS public.audit_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    agent_id text NOT NULL,
    session_id text NOT NULL,
    event_type text NOT NULL,
    "timestamp" timestamptz NOT NULL DEFAULT now(),
    details jsonb,
    prev_hmac text,
    hmac text NOT NULL
);

CREATE TABLE IF NOT EXISTS public.platform_instructions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    scope text NOT NULL CHECK (scope IN ('global', 'team', 'workspace')),
    scope_target text,
    title text NOT NULL,
    content text NOT NULL CHECK (length(content) <= 8192),
    priority integer DEFAULT 0,
    enabled boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.workflow_checkpoints (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    workflow_id text NOT NULL,
    step_name text NOT NULL,
    step_index integer NOT NULL DEFAULT 0,
    payload jsonb,
    completed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, workflow_id, step_name)
);
