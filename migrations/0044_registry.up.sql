-- The registry's own tables. Legacy tables only gain nullable or
-- constant-default columns (they keep their names for all of 1.x).

CREATE SCHEMA registry;

ALTER TABLE public.workspaces
    ADD COLUMN delivery_mode text NOT NULL DEFAULT 'push'
        CHECK (delivery_mode IN ('push', 'poll')),
    -- False when the registered address cannot be dialled; the reason beside it.
    ADD COLUMN reachable boolean NOT NULL DEFAULT true,
    ADD COLUMN unreachable_reason text;

ALTER TABLE public.workspace_auth_tokens
    ADD COLUMN kind text NOT NULL DEFAULT 'manual' CHECK (kind IN ('instance', 'manual')),
    ADD COLUMN state text NOT NULL DEFAULT 'active'
        CHECK (state IN ('pending', 'active', 'retired')),
    ADD COLUMN epoch bigint,
    ADD COLUMN retired_at timestamptz,
    -- Manual tokens speak for the current instance and carry no epoch.
    ADD CONSTRAINT workspace_auth_tokens_epoch_by_kind
        CHECK ((kind = 'instance') = (epoch IS NOT NULL)),
    ADD CONSTRAINT workspace_auth_tokens_manual_is_active
        CHECK (kind = 'instance' OR state = 'active');

CREATE UNIQUE INDEX workspace_auth_tokens_one_pending
    ON public.workspace_auth_tokens (workspace_id)
    WHERE state = 'pending' AND revoked_at IS NULL;

-- `seq` is drawn after commit, under an advisory lock, by the sequencer: a
-- reader that follows it never skips a row that committed late.
ALTER TABLE public.structure_events
    ADD COLUMN seq bigint,
    ADD COLUMN traceparent text;
CREATE UNIQUE INDEX idx_events_seq ON public.structure_events (seq) WHERE seq IS NOT NULL;
CREATE INDEX idx_events_unsequenced ON public.structure_events (created_at, id) WHERE seq IS NULL;
CREATE INDEX idx_events_newest ON public.structure_events (created_at DESC, id DESC);
CREATE INDEX idx_events_workspace_newest
    ON public.structure_events (workspace_id, created_at DESC, id DESC);

CREATE TABLE registry.event_sequence (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last bigint NOT NULL
);
INSERT INTO registry.event_sequence (last) VALUES (0);

-- One narrow row a workspace: what every beat writes, and the two versions that
-- a beat compares in the statement that writes it. No index on anything that
-- changes, and room in the page, so that updates stay heap-only. Columns that
-- change with every beat stand together: less write-ahead log.
CREATE TABLE registry.workspace_vitals (
    id uuid PRIMARY KEY REFERENCES public.workspaces (id) ON DELETE CASCADE,
    state_version bigint NOT NULL DEFAULT 0,
    auth_version bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    fence_epoch bigint NOT NULL DEFAULT 0,
    monthly_spend bigint NOT NULL DEFAULT 0,
    last_error_rate double precision NOT NULL DEFAULT 0,
    last_heartbeat_at timestamptz,
    -- The right to be called alive; none for a workspace that never beat. It only
    -- rises: announced silence extends it, a later beat does not shorten it.
    lease_until timestamptz,
    uptime_seconds integer NOT NULL DEFAULT 0,
    -- The last uptime that a full beat really carried; tells a new incarnation.
    last_uptime integer,
    active_tasks integer NOT NULL DEFAULT 0,
    -- First day of the UTC month that monthly_spend belongs to.
    spend_month date,
    full_beat_seen boolean NOT NULL DEFAULT false,
    causes jsonb NOT NULL DEFAULT '{}',
    runtime_state text NOT NULL DEFAULT '',
    runtime_metadata jsonb,
    current_task text NOT NULL DEFAULT '',
    last_sample_error text NOT NULL DEFAULT ''
) WITH (fillfactor = 70);

INSERT INTO registry.workspace_vitals
    (id, monthly_spend, spend_month, active_tasks, last_error_rate, last_heartbeat_at,
     uptime_seconds, current_task, last_sample_error)
SELECT id, monthly_spend, date_trunc('month', now() AT TIME ZONE 'UTC')::date,
       coalesce(active_tasks, 0), coalesce(last_error_rate, 0), last_heartbeat_at,
       coalesce(uptime_seconds, 0), coalesce(current_task, ''), coalesce(last_sample_error, '')
FROM public.workspaces;

-- Every workspace has vitals, whoever inserts it.
CREATE FUNCTION registry.workspace_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO registry.workspace_vitals (id) VALUES (NEW.id) ON CONFLICT (id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER candor_workspace_inserted AFTER INSERT ON public.workspaces
    FOR EACH ROW EXECUTE FUNCTION registry.workspace_inserted();

-- Whoever changes a status, by hand too, raises the version that beats compare,
-- in the same transaction. Removal ends credentials, hence auth_version.
CREATE FUNCTION registry.workspace_status_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE registry.workspace_vitals
    SET state_version = state_version + 1,
        auth_version = auth_version + CASE WHEN NEW.status = 'removed' THEN 1 ELSE 0 END
    WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER candor_workspace_status_changed AFTER UPDATE OF status ON public.workspaces
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION registry.workspace_status_changed();

-- Whoever issues, revokes or deletes a token raises the version that beats
-- compare, in the same transaction. `last_used_at` alone changes nothing.
CREATE FUNCTION registry.credentials_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE registry.workspace_vitals SET auth_version = auth_version + 1
    WHERE id = coalesce(NEW.workspace_id, OLD.workspace_id);
    RETURN NULL;
END $$;
CREATE TRIGGER candor_credentials_changed
    AFTER INSERT OR DELETE OR UPDATE OF revoked_at, state, epoch, kind, token_hash, workspace_id
    ON public.workspace_auth_tokens
    FOR EACH ROW EXECUTE FUNCTION registry.credentials_changed();

-- Ids that were purged: they answer register and beat as removed for ever.
CREATE TABLE registry.tombstones (
    id uuid PRIMARY KEY,
    purged_at timestamptz NOT NULL DEFAULT now()
);

-- Why a workspace has its status; the newest rows of each are kept.
CREATE TABLE registry.decisions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rule text NOT NULL,
    from_status public.workspace_status,
    to_status public.workspace_status NOT NULL,
    evidence text NOT NULL DEFAULT '',
    state_version bigint NOT NULL,
    event_id uuid
);
CREATE INDEX decisions_by_workspace ON registry.decisions (workspace_id, id DESC);
