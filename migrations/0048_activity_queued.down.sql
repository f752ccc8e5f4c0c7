DROP INDEX public.idx_activity_queued;
