-- A post as it is handed in: a batch comes as one array of these, which costs both sides less than an
-- array for each column. It is never changed, since replicas of yesterday use it: whoever needs
-- another column makes another type.
create type heard_post as (
  post uuid,
  community text,
  source text,
  counted_at timestamptz,
  sequence bigint,
  is_deleted boolean,
  author uuid,
  is_automated boolean,
  is_answer boolean,
  thread uuid
);
