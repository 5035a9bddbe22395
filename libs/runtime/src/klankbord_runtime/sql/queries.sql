-- The SQL of the runtime. Every table lives in the schema of the service that runs it.

-- name: name_array_types
-- Prepared on each new connection, never run. asyncpg asks the server about every type of array that
-- it meets for the first time, which costs some 6 ms of processor time; named together it asks once.
select
    $1::uuid[], $2::bytea[], $3::timestamptz[], $4::bigint[], $5::boolean[], $6::float8[], $7::date[],
    $8::jsonb[];

-- name: take_fresh
-- In the order of their ids, so that two replicas wait for each other but never in a circle.
insert into inbox (consumer, id)
select $1, id from unnest($2::uuid[]) as t (id) order by id
on conflict do nothing
returning id;

-- name: prune_inbox
delete from inbox
where ctid = any (array(
    select ctid from inbox where handled < now() - $1::interval limit 10000
));

-- name: begin_attempt
insert into attempt as a (consumer, stream_sequence, attempts) values ($1, $2, 1)
on conflict (consumer, stream_sequence) do update set attempts = a.attempts + 1
returning attempts, problem;

-- name: note_problem
update attempt set problem = $3 where consumer = $1 and stream_sequence = $2;

-- name: take_back_attempt
update attempt set attempts = attempts - 1 where consumer = $1 and stream_sequence = $2;

-- name: forget_attempt
delete from attempt where consumer = $1 and stream_sequence = $2;

-- name: put_in_outbox
with batch as (
    select nextval('outbox_batch') as number
), pending as (
    insert into outbox_pending (batch, recorded, size)
    select number, $1, cardinality($2::uuid[]) from batch
)
insert into outbox (batch, position, recorded, id, subject, body)
select number, position, $1, id, subject, body
from batch, unnest($2::uuid[], $3::text[], $4::bytea[]) with ordinality as t (id, subject, body, position);

-- name: take_pending
select batch, recorded, size from outbox_pending order by batch limit $1 for update skip locked;

-- name: fetch_outbox
select id, subject, body
from outbox join unnest($1::timestamptz[], $2::bigint[]) as t (recorded, batch) using (recorded, batch)
order by batch, position;

-- name: note_sent
delete from outbox_pending where batch = any ($1::bigint[]);

-- name: oldest_sent
select min(recorded) from outbox;

-- name: count_sent
-- By the noun and the verb of the subject, which say the stream; what waits is not sent yet.
select array_to_string((string_to_array(subject, '.'))[1:4], '.') as subject, count(*) as events
from outbox o
where recorded >= $1 and recorded < $2
    and not exists (select from outbox_pending p where p.batch = o.batch)
group by 1;

-- name: fetch_sent
-- Locked, so that an erasure which was noted before deletes them when they are on the bus, and then
-- looks for them there.
select recorded, batch, position, id, subject, body
from outbox o
where recorded >= $1 and recorded < $4 and (recorded, batch, position) > ($1, $2, $3)
    and not exists (select from outbox_pending p where p.batch = o.batch)
order by recorded, batch, position
limit $5
for share of o;

-- name: hold_off_erasures
select pg_advisory_xact_lock_shared(hashtext('erasure ' || current_schema));

-- name: outbox_load
select
    coalesce(sum(size), 0)::bigint as pending,
    coalesce(extract(epoch from now() - min(recorded)), 0)::float8 as age,
    (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
     from pg_inherits where inhparent = 'outbox'::regclass) as bytes
from outbox_pending;

-- name: list_partitions
select c.relname as name
from pg_inherits join pg_class c on c.oid = inhrelid
where inhparent = 'outbox'::regclass and c.relname ~ '^outbox_[0-9]{10}$'
order by c.relname;

-- name: prune_default
delete from outbox_default o
where recorded < $1 and not exists (select from outbox_pending p where p.batch = o.batch);

-- name: has_pending
select exists (select from outbox_pending where recorded >= $1 and recorded < $2);

-- name: is_anyone_erased
select anyone_erased($1::text[]);

-- name: fetch_erased
select scope, person from erased_among($1::text[], $2::text[]);

-- name: begin_erasure
-- Wait for everything that may be about the person to commit. What takes longer than a statement may
-- is tried again: until then no batch begins, so this must not wait for ever.
select pg_advisory_xact_lock(hashtext('erasure ' || current_schema));

-- name: take_time
-- Forgetting may have to read whole tables, and so may counting.
select set_config('statement_timeout', '0', true);

-- name: note_erased
insert into erased (scope, person, erased) values ($1, $2, $3)
on conflict (scope, person) do update set erased = excluded.erased;

-- name: erase_outbox
-- Whatever names the person was said by them or about them; and so was what names nobody and is
-- about something that is known to be theirs ($2).
with naming as (
    select o.recorded, o.batch, o.position
    from outbox as o
    where exists (
        select from regexp_matches(convert_from(o.body, 'UTF8'), 'p-[0-9a-f]{32}', 'g') as found (name)
        where encode(sha256(convert_to(found.name[1], 'UTF8')), 'hex') = $1
    ) or (
        substring(convert_from(o.body, 'UTF8') from '"subject":"([^"]*)"') = any($2::text[])
        and convert_from(o.body, 'UTF8') !~ 'p-[0-9a-f]{32}'
    )
), waiting as (
    select count(*) as number from naming join outbox_pending using (batch)
), deleted as (
    delete from outbox as o
    using naming
    where o.recorded = naming.recorded and o.batch = naming.batch and o.position = naming.position
        and (select number from waiting) = 0
    returning 1
)
select (select count(*) from deleted) as deleted, (select number from waiting) as waiting;
