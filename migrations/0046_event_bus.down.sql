DROP TABLE registry.transient_events, registry.transient_position, registry.replicas;
ALTER TABLE registry.event_sequence DROP COLUMN pruned_to;
