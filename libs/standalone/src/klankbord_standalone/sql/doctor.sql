-- What `klankbord doctor` asks. The first half is asked as a service, in its own schema.

-- name: doctor_is_migrated
select to_regclass('migration') is not null;

-- name: doctor_migrations
select package, name, checksum from migration;

-- name: doctor_outbox
select
    coalesce(sum(size), 0)::bigint as pending,
    coalesce(now() - min(recorded), interval '0') as age,
    (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
     from pg_inherits where inhparent = 'outbox'::regclass) as bytes
from outbox_pending;

-- name: doctor_accepted
select distinct on (name) name, digest, body from accepted_file order by name, accepted desc, digest;

-- name: doctor_feeds
select source, healthy from published_source_health;

-- name: doctor_server
-- From here on as the role that provisions.
select
    current_setting('server_version') as version,
    current_setting('server_version_num')::int / 10000 as major,
    clock_timestamp() as now,
    current_setting('fsync') as fsync,
    current_setting('synchronous_commit') as synchronous_commit,
    current_setting('full_page_writes') as full_page_writes;

-- name: doctor_roles
select rolname as role, rolcanlogin as may_login, rolsuper as is_superuser
from pg_roles where rolname like 'klankbord\_%';

-- name: doctor_lacking
-- What a service's role must be able to do, and is not.
select lacking from (
    select format('%s does not own the schema %s', $1::text, $2::text) as lacking
    where not exists (
        select from pg_namespace where nspname = $2 and pg_get_userbyid(nspowner) = $1
    )
    union all
    select format('%s may not write to the audit log', $1::text)
    where to_regproc('audit.append') is null
        or not has_schema_privilege($1, 'audit', 'usage')
        or not has_function_privilege($1, 'audit.append(text, text)', 'execute')
    union all
    select format('%s does not own %s.%s', $1::text, $2::text, relname)
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = $2 and relkind in ('r', 'p', 'v', 'S') and pg_get_userbyid(relowner) <> $1
) as found;

-- name: doctor_reader_lacking
select lacking from (
    select format('klankbord_reader may not look into %s', nspname) as lacking
    from pg_namespace
    where nspname = any ($1::text[] || array['audit'])
        and not has_schema_privilege('klankbord_reader', oid, 'usage')
    union all
    select format('klankbord_reader may not read %s.%s', nspname, relname)
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = any ($1::text[]) and relkind = 'v' and starts_with(relname, 'published_')
        and not has_table_privilege('klankbord_reader', pg_class.oid, 'select')
) as found;

-- name: doctor_excess
-- What a service, or the reader, can reach and should not.
select format('%s reaches into %s', rolname, nspname) as excess
from pg_roles, pg_namespace
where rolname = any ($1::text[]) and nspname = any ($2::text[])
    and rolname <> 'klankbord_' || nspname and rolname <> 'klankbord_reader'
    and has_schema_privilege(rolname, pg_namespace.oid, 'usage')
union all
select format('klankbord_reader reads %s.%s', nspname, relname)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where nspname = any ($2::text[]) and relkind in ('r', 'p')
    and 'klankbord_reader' = any ($1::text[])
    and has_table_privilege('klankbord_reader', pg_class.oid, 'select');
