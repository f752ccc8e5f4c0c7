-- How far an agent has come by its own count: {"begun","answered","failed","moved"}.
ALTER TABLE registry.workspace_vitals ADD COLUMN turn_progress jsonb;
