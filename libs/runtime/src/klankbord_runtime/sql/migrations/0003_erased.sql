-- Who is forgotten: nothing about them is taken in again. A digest stands for each, and no name.
create table erased (
    scope text not null,
    person text not null,
    erased timestamptz not null,
    primary key (scope, person)
);

-- Which of these are forgotten; and whoever is to be forgotten waits from here on until the
-- caller's transaction ends. Two statements on purpose: the second must see what was committed
-- while the first waited, and within a volatile function each statement looks anew.
create function erased_among(scopes text[], persons text[])
returns table (scope text, person text)
language plpgsql volatile
as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('erasure ' || current_schema));
    return query
        select known.scope, known.person
        from erased as known
        join unnest(scopes, persons) as asked (scope, person)
            on known.scope = asked.scope and known.person = asked.person;
end
$$;
