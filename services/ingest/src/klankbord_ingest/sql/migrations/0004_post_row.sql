-- A row of `post` as it is handed in: a batch comes as one array of these, which costs half as much as
-- an array for each column. Numbers and digests are arrays as text. It is never changed, since replicas
-- of yesterday use it: whoever needs another column makes another type.
create type post_row as (
    post uuid,
    attributed_to text,
    numbers text,
    stated text,
    stated_deletes text,
    operation text,
    newest_live bigint,
    digest bytea,
    created bytea,
    said text
);
