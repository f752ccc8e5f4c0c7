-- What is wanted of instances (the registry's), and how far they are (the provisioner's).

-- Who can run which runtimes, as provisioners say every few seconds.
CREATE TABLE registry.backends (
    name text PRIMARY KEY,
    runtimes text[] NOT NULL,
    announced_until timestamptz NOT NULL
);

-- What is wanted of a workspace's instance; written in the transaction of the decision
-- that wants it. No reference: it outlives a purge, until its instance is gone.
CREATE TABLE registry.placements (
    workspace_id uuid PRIMARY KEY,
    backend text NOT NULL,
    want text NOT NULL CHECK (want IN ('running', 'stopped', 'gone', 'purged')),
    -- The fence that was raised for it.
    epoch bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    -- Nobody asked for it: it counts against the budget of restarts.
    automatic boolean NOT NULL DEFAULT false,
    reset_session boolean NOT NULL DEFAULT false,
    -- As the workspace was created with, or restarted with since.
    template text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    -- The configuration is taken from the template once more.
    apply_template boolean NOT NULL DEFAULT true,
    -- Where the platform reaches the instance of the epoch, as its backend knows it.
    url text,
    -- A provisioner has written this version down.
    taken boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX placements_waiting ON registry.placements (changed_at) WHERE NOT taken;

CREATE SCHEMA provisioner;

-- Which installation this is: what runs for it carries the id as a mark. Made by the
-- provisioner that starts first.
CREATE TABLE provisioner.installation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);

-- How far the instance of a workspace is. Whoever holds the lease moves it on.
CREATE TABLE provisioner.instances (
    workspace_id uuid PRIMARY KEY,
    backend text NOT NULL,
    -- Where an instance may be left from before the workspace changed its runtime.
    former_backend text,
    want text NOT NULL CHECK (want IN ('running', 'stopped', 'gone', 'purged')),
    epoch bigint NOT NULL,
    -- Of the placement that was taken over.
    version bigint NOT NULL,
    reset_session boolean NOT NULL DEFAULT false,
    -- The next instance takes its configuration from here; empty: from nowhere, once the
    -- workspace has one.
    template text NOT NULL DEFAULT '',
    -- An instance was started with a configuration, so that there is one.
    configured boolean NOT NULL DEFAULT false,
    wanted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- How far the token of the epoch is.
    handed text NOT NULL DEFAULT 'nothing' CHECK (handed IN ('nothing', 'verified', 'started')),
    started_at timestamptz,
    -- The instance has called with its token.
    called boolean NOT NULL DEFAULT false,
    -- The last epoch whose instance was told about its restart.
    told_epoch bigint NOT NULL DEFAULT 0,
    url text,
    -- Everything is as it is wanted; it is looked at again only now and then.
    settled boolean NOT NULL DEFAULT false,
    -- Nothing more is tried until somebody asks.
    halted boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error text NOT NULL DEFAULT '',
    -- Restarts that nobody asked for, lately.
    restarts timestamptz[] NOT NULL DEFAULT '{}',
    -- A restart that is due within the budget: a secret changed, it is wedged.
    restart_reason text,
    lease_owner uuid,
    lease_until timestamptz
);
CREATE INDEX instances_due ON provisioner.instances (next_at) WHERE NOT settled;

-- Each step on the way; the newest of each workspace are kept.
CREATE TABLE provisioner.steps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    epoch bigint NOT NULL,
    step text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('done', 'failed', 'waits')),
    detail text NOT NULL DEFAULT '',
    took_ms bigint NOT NULL DEFAULT 0
);
CREATE INDEX steps_by_workspace ON provisioner.steps (workspace_id, id DESC);

-- What the owner of a workspace allows the platform to do by itself, and since when the
-- workspace has had nothing to do.
CREATE TABLE provisioner.policies (
    workspace_id uuid PRIMARY KEY,
    restart_on_wedge boolean NOT NULL DEFAULT false,
    hibernate_after_seconds bigint CHECK (hibernate_after_seconds > 0)
);

CREATE TABLE provisioner.idleness (
    workspace_id uuid PRIMARY KEY,
    -- What it had done when it was seen; another one means that it worked.
    seen text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Files below /configs that people wrote, for workspaces whatever runs them. An instance
-- is given each once; then it is the instance's, which may change it. A purge takes them.
CREATE TABLE provisioner.files (
    workspace_id uuid NOT NULL REFERENCES public.workspaces (id) ON DELETE CASCADE,
    path text NOT NULL,
    content bytea NOT NULL,
    -- Not yet where instances read it.
    fresh boolean NOT NULL DEFAULT true,
    -- Written by people or the platform, not with the workspace's own token.
    by_operator boolean NOT NULL,
    -- The epoch whose instance is given it, and the one whose template replaces it, once
    -- that instance was started.
    given_to bigint,
    replaced_by bigint,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (workspace_id, path)
);
