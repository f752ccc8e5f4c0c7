DROP TRIGGER candor_credential_deleted ON public.workspace_auth_tokens;
DROP TRIGGER candor_credentials_changed ON public.workspace_auth_tokens;
CREATE TRIGGER candor_credentials_changed
    AFTER INSERT OR DELETE OR UPDATE OF revoked_at, state, epoch, kind, token_hash, workspace_id
    ON public.workspace_auth_tokens
    FOR EACH ROW EXECUTE FUNCTION registry.credentials_changed();

DROP TABLE registry.transient_events, registry.transient_position, registry.replicas;
ALTER TABLE registry.event_sequence DROP COLUMN pruned_to;
