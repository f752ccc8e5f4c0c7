DROP TRIGGER candor_credentials_changed ON public.workspace_auth_tokens;
DROP TRIGGER candor_workspace_status_changed ON public.workspaces;
DROP TRIGGER candor_workspace_inserted ON public.workspaces;

-- Legacy readers find in the legacy columns what beats wrote since.
UPDATE public.workspaces w
SET monthly_spend = v.monthly_spend, active_tasks = v.active_tasks,
    last_error_rate = v.last_error_rate, last_heartbeat_at = v.last_heartbeat_at,
    uptime_seconds = v.uptime_seconds, current_task = v.current_task,
    last_sample_error = v.last_sample_error
FROM registry.workspace_vitals v WHERE v.id = w.id;

DROP TABLE registry.decisions, registry.tombstones, registry.workspace_vitals,
    registry.event_sequence;
DROP FUNCTION registry.credentials_changed();
DROP FUNCTION registry.workspace_status_changed();
DROP FUNCTION registry.workspace_inserted();

DROP INDEX public.idx_events_workspace_newest, public.idx_events_newest,
    public.idx_events_unsequenced, public.idx_events_seq;
ALTER TABLE public.structure_events DROP COLUMN traceparent, DROP COLUMN seq;

DROP INDEX public.workspace_auth_tokens_one_pending;
ALTER TABLE public.workspace_auth_tokens
    DROP CONSTRAINT workspace_auth_tokens_manual_is_active,
    DROP CONSTRAINT workspace_auth_tokens_epoch_by_kind,
    DROP COLUMN retired_at, DROP COLUMN epoch, DROP COLUMN state, DROP COLUMN kind;

ALTER TABLE public.workspaces
    DROP COLUMN unreachable_reason, DROP COLUMN reachable, DROP COLUMN delivery_mode;

DROP SCHEMA registry;
