-- workspaces.status from TEXT to an enum with ten labels. A legacy database may
-- already have the enum with six or eight of them: then only the missing labels
-- are added, in their places, and no row is touched.

SET LOCAL lock_timeout = '5s';

DO $migration$
DECLARE
    labels CONSTANT text[] := ARRAY[
        'provisioning', 'online', 'offline', 'degraded', 'failed',
        'removed', 'paused', 'hibernated', 'hibernating', 'awaiting_agent'];
    column_type text;
    present text[];
    foreign_labels text[];
    unknown text;
BEGIN
    SELECT format_type(a.atttypid, a.atttypmod) INTO column_type
    FROM pg_attribute a
    WHERE a.attrelid = 'public.workspaces'::regclass
      AND a.attname = 'status' AND NOT a.attisdropped;
    SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) INTO present
    FROM pg_enum e
    WHERE e.enumtypid = to_regtype('public.workspace_status');

    IF present IS NULL THEN
        -- Nobody may write a status between the check and the conversion.
        LOCK TABLE public.workspaces IN ACCESS EXCLUSIVE MODE;
        SELECT string_agg(
                   format('%L (%s row%s)', bad.status, bad.n, CASE WHEN bad.n = 1 THEN '' ELSE 's' END),
                   ', ' ORDER BY bad.status)
        INTO unknown
        FROM (SELECT status::text AS status, count(*) AS n
              FROM public.workspaces
              WHERE status IS NOT NULL AND status::text <> ALL (labels)
              GROUP BY 1) AS bad;
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION 'workspaces.status holds unknown values: %', unknown
                USING ERRCODE = 'check_violation',
                      HINT = 'Set these rows to a known status, then migrate again; nothing was changed.';
        END IF;
        CREATE TYPE public.workspace_status AS ENUM (
            'provisioning', 'online', 'offline', 'degraded', 'failed',
            'removed', 'paused', 'hibernated', 'hibernating', 'awaiting_agent');
        ALTER TABLE public.workspaces ALTER COLUMN status DROP DEFAULT;
        -- Rewrites the table and rebuilds idx_workspaces_status under its name.
        ALTER TABLE public.workspaces ALTER COLUMN status
            TYPE public.workspace_status USING status::text::public.workspace_status;
        ALTER TABLE public.workspaces ALTER COLUMN status
            SET DEFAULT 'provisioning'::public.workspace_status;
        RETURN;
    END IF;

    IF column_type NOT IN ('workspace_status', 'public.workspace_status') THEN
        RAISE EXCEPTION 'type workspace_status exists, but workspaces.status is %', column_type
            USING ERRCODE = 'datatype_mismatch';
    END IF;
    foreign_labels := ARRAY(SELECT unnest(present) EXCEPT SELECT unnest(labels));
    IF cardinality(foreign_labels) > 0 THEN
        RAISE EXCEPTION 'type workspace_status has unknown labels: %',
            array_to_string(foreign_labels, ', ')
            USING ERRCODE = 'check_violation';
    END IF;
    -- In ascending order, so that a label's predecessor is always there.
    FOR position IN 1 .. cardinality(labels) LOOP
        CONTINUE WHEN labels[position] = ANY (present);
        EXECUTE format(
            'ALTER TYPE public.workspace_status ADD VALUE %L %s', labels[position],
            CASE WHEN position = 1 THEN format('BEFORE %L', present[1])
                 ELSE format('AFTER %L', labels[position - 1]) END);
    END LOOP;
END
$migration$;
