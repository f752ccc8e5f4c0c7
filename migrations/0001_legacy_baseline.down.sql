-- DESTROYS EVERY ROW of the platform: below the baseline there is nothing. The
-- migrator runs this only when it is asked for version 0 by name. Reverse order
-- of creation, no CASCADE: a table that something foreign still refers to stays,
-- and the whole step is rolled back.

DROP TABLE IF EXISTS public.workflow_checkpoints;
DROP TABLE IF EXISTS public.platform_instructions;
DROP TABLE IF EXISTS public.audit_events;
DROP TABLE IF EXISTS public.workspace_artifacts;
DROP TABLE IF EXISTS public.org_plugin_allowlist;
DROP TABLE IF EXISTS public.workspace_channels;
DROP TABLE IF EXISTS public.workspace_schedules;
DROP TABLE IF EXISTS public.agent_memories;
DROP TABLE IF EXISTS public.approval_requests;
DROP TABLE IF EXISTS public.workspace_memory;
DROP TABLE IF EXISTS public.workspace_config;
DROP TABLE IF EXISTS public.global_secrets;
DROP TABLE IF EXISTS public.workspace_secrets;
DROP TABLE IF EXISTS public.agents;
DROP TABLE IF EXISTS public.workspace_token_usage;
DROP TABLE IF EXISTS public.canvas_viewport;
DROP TABLE IF EXISTS public.canvas_layouts;
DROP TABLE IF EXISTS public.a2a_queue;
DROP TABLE IF EXISTS public.structure_events;
DROP TABLE IF EXISTS public.activity_logs;
DROP TABLE IF EXISTS public.org_api_tokens;
DROP TABLE IF EXISTS public.workspace_auth_tokens;
DROP TABLE IF EXISTS public.workspaces;
