DROP SCHEMA provisioner CASCADE;
DROP TABLE registry.placements;
DROP TABLE registry.backends;
