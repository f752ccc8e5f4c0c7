DROP TRIGGER candor_activity_placed ON public.activity_logs;
DROP FUNCTION activity.place_row();

-- Legacy readers find in the legacy columns what was written since, as far as
-- jsonb can hold it.
CREATE FUNCTION activity.as_jsonb(is_json boolean, content text) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN is_json THEN content::jsonb ELSE to_jsonb(content) END;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;
UPDATE public.activity_logs
SET request_body = coalesce(request_body, activity.as_jsonb(request_is_json, request_text)),
    response_body = coalesce(response_body, activity.as_jsonb(response_is_json, response_text)),
    tool_trace = coalesce(tool_trace, activity.as_jsonb(true, tool_trace_text))
WHERE coalesce(request_text, response_text, tool_trace_text) IS NOT NULL;
DROP FUNCTION activity.as_jsonb(boolean, text);

-- What a legacy platform has no word for: intents, and rows without a workspace.
DELETE FROM public.activity_logs a
WHERE a.phase = 'intent'
   OR NOT EXISTS (SELECT 1 FROM public.workspaces w WHERE w.id = a.workspace_id);

DROP TABLE activity.emptied, activity.late_outcomes, activity.log_position;
DROP INDEX public.idx_activity_overdue, public.idx_activity_conversation,
    public.idx_activity_listed_by_type, public.idx_activity_listed;
ALTER TABLE public.activity_logs
    DROP COLUMN traceparent, DROP COLUMN reaped_at, DROP COLUMN deadline, DROP COLUMN begun_at,
    DROP COLUMN outcome_digest, DROP COLUMN queued_digest, DROP COLUMN digest, DROP COLUMN tool_trace_text,
    DROP COLUMN response_is_json, DROP COLUMN response_bytes, DROP COLUMN response_text,
    DROP COLUMN request_is_json, DROP COLUMN request_bytes, DROP COLUMN request_text,
    DROP COLUMN claimed_source, DROP COLUMN auth, DROP COLUMN source_ref,
    DROP COLUMN source_kind, DROP COLUMN conversation, DROP COLUMN phase, DROP COLUMN seq,
    ADD CONSTRAINT activity_logs_workspace_id_fkey
        FOREIGN KEY (workspace_id) REFERENCES public.workspaces (id) ON DELETE CASCADE;
CREATE INDEX idx_activity_ws_type_time
    ON public.activity_logs (workspace_id, activity_type, created_at DESC);

DROP SCHEMA activity;
