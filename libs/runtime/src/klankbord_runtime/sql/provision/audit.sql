-- The log of what administrators did: one chain of hashes for the installation. Provisioning runs
-- this each time; nothing in it is undone. Whoever may write here may only append.

create schema if not exists audit;
revoke all on schema audit from public;

create table if not exists audit.entry (
    number bigint primary key,
    at timestamptz not null,
    role text not null check (role !~ '\n'),
    act text not null check (act ~ '^[a-z]+\.[a-z]+$'),
    details text not null check (jsonb_typeof(details::jsonb) = 'object'),
    previous text not null,
    hash text not null
);

create or replace function audit.refuse() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is only ever appended to'
        using errcode = 'insufficient_privilege';
end
$$;

create or replace trigger entry_stays before update or delete or truncate on audit.entry
for each statement execute function audit.refuse();

-- Gives the hash of the new entry, which vouches for all before it. The lock lasts until the
-- transaction ends, so that entries follow one another in the order in which they commit.
-- klankbord_runtime.audit.hash_of says the same in Python.
create or replace function audit.append(act text, details text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    moment timestamptz := clock_timestamp();
    place bigint;
    previous text;
    hash text;
begin
    perform pg_advisory_xact_lock(hashtext('klankbord audit'));
    select e.number, e.hash into place, previous from audit.entry as e order by e.number desc limit 1;
    place := coalesce(place, 0) + 1;
    previous := coalesce(previous, repeat('0', 64));
    hash := encode(sha256(convert_to(concat_ws(
        E'\n', previous, place, to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        session_user, act, details
    ), 'UTF8')), 'hex');
    insert into audit.entry values (place, moment, session_user, act, details, previous, hash);
    return hash;
end
$$;
revoke all on function audit.append(text, text) from public;
