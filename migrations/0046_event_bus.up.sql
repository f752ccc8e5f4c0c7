-- Events between registries, and how long they are kept.

-- Stored events up to here are gone: a cursor before it has expired.
ALTER TABLE registry.event_sequence ADD COLUMN pruned_to bigint NOT NULL DEFAULT 0;

-- Registries that run now: each holds the advisory lock of its slot for as long as
-- its session lives. Alone, none of what follows is used.
CREATE TABLE registry.replicas (
    id uuid PRIMARY KEY,
    slot integer GENERATED ALWAYS AS IDENTITY,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The last number of an event that is not stored: whoever writes some holds the
-- row until the commit, so numbers become visible in order and without gaps.
CREATE TABLE registry.transient_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last bigint NOT NULL
);
INSERT INTO registry.transient_position (last) VALUES (0);

-- Their way from one registry to the others, for seconds; a crash may empty it,
-- and readers see that by the numbers.
CREATE UNLOGGED TABLE registry.transient_events (
    n bigint PRIMARY KEY,
    origin uuid NOT NULL,
    -- Null: some could not be written, followers must be told.
    event_type text,
    workspace_id text NOT NULL DEFAULT '',
    payload text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    -- By Postgres' clock, whatever the writer's says.
    handed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX transient_events_handed_at ON registry.transient_events (handed_at);

-- Deleting a credential that ended raises no version: nothing changes for anybody.
DROP TRIGGER candor_credentials_changed ON public.workspace_auth_tokens;
CREATE TRIGGER candor_credentials_changed
    AFTER INSERT OR UPDATE OF revoked_at, state, epoch, kind, token_hash, workspace_id
    ON public.workspace_auth_tokens
    FOR EACH ROW EXECUTE FUNCTION registry.credentials_changed();
CREATE TRIGGER candor_credential_deleted AFTER DELETE ON public.workspace_auth_tokens
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND OLD.state <> 'retired')
    EXECUTE FUNCTION registry.credentials_changed();
