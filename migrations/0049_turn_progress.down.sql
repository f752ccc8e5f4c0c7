ALTER TABLE registry.workspace_vitals DROP COLUMN turn_progress;
