-- What was adopted from the older platform's queue and is settled is so there too.
UPDATE public.a2a_queue q
SET status = CASE e.state WHEN 'delivered' THEN 'completed' WHEN 'failed' THEN 'failed'
                          ELSE 'dropped' END,
    completed_at = e.settled_at, attempts = e.attempts, last_error = e.last_error
FROM relay.entries e
WHERE e.id = q.id AND q.status IN ('queued', 'dispatched')
  AND e.state NOT IN ('accepted', 'leased');
-- How it ended is forgotten after a week; that it ended is not.
UPDATE public.a2a_queue q
SET status = 'dropped', last_error = 'settled more than a week ago'
WHERE q.status IN ('queued', 'dispatched') AND q.enqueued_at < now() - interval '7 days'
  AND NOT EXISTS (SELECT 1 FROM relay.entries e WHERE e.id = q.id);

-- What still waits goes back, as far as that queue can hold it. What its workspace
-- fetches by itself is in the activity log, where that platform lists it.
UPDATE public.a2a_queue q
SET status = 'queued', attempts = e.attempts, last_error = e.last_error
FROM relay.entries e
WHERE e.id = q.id AND e.state IN ('accepted', 'leased') AND e.attempts <> q.attempts;

CREATE FUNCTION relay.as_jsonb(body bytea) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;
INSERT INTO public.a2a_queue
    (id, workspace_id, caller_id, priority, body, method, idempotency_key, enqueued_at,
     attempts, status, last_error, expires_at)
SELECT e.id, e.workspace_id,
       CASE WHEN e.caller ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN e.caller::uuid END,
       e.priority, e.jsonb, e.method,
       -- There it may stand once for a workspace, whoever sent it.
       CASE WHEN e.nth = 1 AND NOT EXISTS (
                SELECT 1 FROM public.a2a_queue q
                WHERE q.workspace_id = e.workspace_id AND q.idempotency_key = e.message_id
                  AND q.status IN ('queued', 'dispatched'))
            THEN e.message_id END,
       e.accepted_at, e.attempts, 'queued', e.last_error, e.expires_at
FROM (SELECT *, relay.as_jsonb(body) AS jsonb,
             row_number() OVER (PARTITION BY workspace_id, message_id ORDER BY n) AS nth
      FROM relay.entries w
      WHERE state IN ('accepted', 'leased') AND NOT polled
        AND NOT EXISTS (SELECT 1 FROM public.a2a_queue q WHERE q.id = w.id)) e
WHERE e.jsonb IS NOT NULL
  AND EXISTS (SELECT 1 FROM public.workspaces w WHERE w.id = e.workspace_id);

DROP SCHEMA relay CASCADE;
