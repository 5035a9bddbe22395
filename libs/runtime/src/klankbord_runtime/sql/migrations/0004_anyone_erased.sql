-- Whether anyone in these scopes is forgotten; and whoever is to be forgotten waits from here on
-- until the caller's transaction ends. Where nobody is, as nearly everywhere, no event has to be looked
-- at. Two statements on purpose, as in erased_among: the second sees what the first waited for.
create function anyone_erased(scopes text[])
returns boolean
language plpgsql volatile
as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('erasure ' || current_schema));
    return exists (select from erased where scope = any (scopes));
end
$$;
