-- The SQL of the runtime. Every table lives in the schema of the service that runs it.

-- name: take_fresh
-- In the order of their ids, so that two replicas wait for each other but never in a circle.
insert into inbox (consumer, id)
select $1, id from unnest($2::uuid[]) as t (id) order by id
on conflict do nothing
returning id;

-- name: prune_inbox
delete from inbox
where ctid = any (array(
    select ctid from inbox where handled < now() - make_interval(days => $1) limit 10000
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
