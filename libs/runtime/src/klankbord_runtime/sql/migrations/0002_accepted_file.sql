-- Files that decide how a service works, each version that was ever accepted. Kept: what was
-- decided by a file names it by its digest.
create table accepted_file (
    name text not null,
    digest text not null,
    body bytea not null,
    accepted timestamptz not null default now(),
    offered timestamptz, -- when it was accepted because it lay on disk; null for one that was applied
    primary key (name, digest)
);
