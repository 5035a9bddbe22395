-- Most rows have the same few consumers, so a key that begins with the id ends a comparison at once.
-- `on conflict do nothing` names no columns: yesterday's build does not notice. On a large inbox make
-- the index concurrently beforehand.
create unique index if not exists inbox_id_consumer on inbox (id, consumer);
alter table inbox drop constraint inbox_pkey,
    add constraint inbox_pkey primary key using index inbox_id_consumer;
