-- Back to TEXT; every row keeps its status, including the two that legacy code
-- does not know (hibernating, awaiting_agent), because TEXT holds any value.

SET LOCAL lock_timeout = '5s';

ALTER TABLE public.workspaces ALTER COLUMN status DROP DEFAULT;
ALTER TABLE public.workspaces ALTER COLUMN status TYPE text USING status::text;
ALTER TABLE public.workspaces ALTER COLUMN status SET DEFAULT 'provisioning';
DROP TYPE public.workspace_status;
