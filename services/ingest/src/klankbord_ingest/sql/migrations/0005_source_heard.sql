-- When each source last handed something in, so that a source that went silent is noticed after a
-- restart too. Written every few seconds, not with every post: one row for all would be a queue.
create table source_heard (
    source text primary key,
    heard timestamptz not null
);
