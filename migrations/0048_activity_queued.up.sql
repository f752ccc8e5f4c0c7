-- Rows that wait for their outcome, by workspace and place: what a workspace that
-- asks for its messages has seen already. Few of them exist at a time.
CREATE INDEX idx_activity_queued ON public.activity_logs (workspace_id, seq)
    WHERE phase = 'queued';
