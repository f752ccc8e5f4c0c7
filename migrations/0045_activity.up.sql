-- The activity log. The legacy table stays and gains columns; its bodies moved to
-- text, which keeps every byte, and to bytea for what is no text.

CREATE SCHEMA activity;

-- The last place in the log and its time. Whoever makes rows listed moves it
-- first and holds the row until the commit: places become visible in order, and
-- a reader that follows them never skips a late commit.
CREATE TABLE activity.log_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last bigint NOT NULL,
    at timestamptz NOT NULL
);
INSERT INTO activity.log_position (last, at) VALUES (0, 'epoch');

-- Rows outlive their workspace: a purge empties them, it does not delete them.
ALTER TABLE public.activity_logs DROP CONSTRAINT activity_logs_workspace_id_fkey;

ALTER TABLE public.activity_logs
    -- The place in the log, with created_at: both only rise. 0: an older platform's.
    ADD COLUMN seq bigint NOT NULL DEFAULT 0,
    -- An intent is hidden, a queued row is listed and waits, a final one is immutable.
    ADD COLUMN phase text NOT NULL DEFAULT 'final' CHECK (phase IN ('intent', 'queued', 'final')),
    -- Part of the conversation with a person; null: an older platform's, which
    -- means it by a source_id that is null.
    ADD COLUMN conversation boolean,
    ADD COLUMN source_kind text NOT NULL DEFAULT 'legacy'
        CHECK (source_kind IN ('user', 'workspace', 'system', 'anonymous', 'legacy')),
    -- What source_id cannot say: a system's name, or the workspace of words to a
    -- person, whose source_id is null for older readers.
    ADD COLUMN source_ref text,
    ADD COLUMN auth text,
    ADD COLUMN claimed_source text,
    ADD COLUMN request_text text,
    ADD COLUMN request_bytes bytea,
    ADD COLUMN request_is_json boolean,
    ADD COLUMN response_text text,
    ADD COLUMN response_bytes bytea,
    ADD COLUMN response_is_json boolean,
    ADD COLUMN tool_trace_text text,
    -- What the writer sent: the same again is no conflict.
    ADD COLUMN digest bytea,
    ADD COLUMN queued_digest bytea,
    ADD COLUMN outcome_digest bytea,
    ADD COLUMN begun_at timestamptz,
    ADD COLUMN deadline timestamptz,
    ADD COLUMN reaped_at timestamptz,
    ADD COLUMN traceparent text;

UPDATE public.activity_logs SET created_at = now() WHERE created_at IS NULL;

DROP INDEX public.idx_activity_ws_type_time;
CREATE INDEX idx_activity_listed ON public.activity_logs (workspace_id, created_at, seq);
CREATE INDEX idx_activity_listed_by_type
    ON public.activity_logs (workspace_id, activity_type, created_at, seq);
CREATE INDEX idx_activity_conversation ON public.activity_logs (workspace_id, created_at, seq)
    WHERE coalesce(conversation, source_id IS NULL);
CREATE INDEX idx_activity_overdue ON public.activity_logs (deadline) WHERE phase = 'intent';

-- Rows of other writers get their place when they commit, by the same rule.
CREATE FUNCTION activity.place_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place activity.log_position;
BEGIN
    UPDATE activity.log_position SET last = last + 1, at = greatest(clock_timestamp(), at)
    RETURNING * INTO place;
    UPDATE public.activity_logs SET seq = place.last, created_at = place.at
    WHERE id = NEW.id AND seq = 0;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER candor_activity_placed AFTER INSERT ON public.activity_logs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.seq = 0 AND NEW.phase <> 'intent')
    EXECUTE FUNCTION activity.place_row();

-- Outcomes that came after the reaper had closed their row.
CREATE TABLE activity.late_outcomes (
    id uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status text NOT NULL,
    error_detail text,
    duration_ms integer,
    response_text text,
    response_bytes bytea,
    response_is_json boolean,
    digest bytea NOT NULL
);

-- Purged workspaces whose rows are empty.
CREATE TABLE activity.emptied (
    workspace_id uuid PRIMARY KEY,
    emptied_at timestamptz NOT NULL DEFAULT now()
);
