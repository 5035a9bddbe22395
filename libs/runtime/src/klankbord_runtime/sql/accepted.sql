-- The files that decide how the service works. The newest accepted is in force.

-- name: accept_file
-- Later than every other, whatever the server's clock did since.
insert into accepted_file (name, digest, body, accepted)
select $1, $2, $3, greatest(clock_timestamp(), max(accepted) + interval '1 microsecond')
from accepted_file where name = $1
on conflict (name, digest) do update set accepted = excluded.accepted;

-- name: offer_file
-- Accepted if someone changed the file on disk: it is another one than the last that lay there.
insert into accepted_file (name, digest, body, accepted, offered)
select $1, $2, $3, later, later
from (
    select greatest(clock_timestamp(), max(accepted) + interval '1 microsecond') as later
    from accepted_file where name = $1
) now
where $2 is distinct from (
    select digest from accepted_file
    where name = $1 and offered is not null order by offered desc, digest limit 1
)
on conflict (name, digest) do update set accepted = excluded.accepted, offered = excluded.offered
returning true;

-- name: fetch_accepted_file
-- The newest, unless it is the one that is known already ($2).
select digest, body
from (select digest, body from accepted_file where name = $1 order by accepted desc, digest limit 1) newest
where digest is distinct from $2;
