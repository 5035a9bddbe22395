-- What is kept of a post that was heard: enough to apply versions in order and to notice floods.
-- Never its text. A deleted post keeps its identity and sequence alone: a tombstone.
create table heard_post (
    post       uuid primary key,
    sequence   bigint not null,
    community  text not null,
    author     text,
    counted_at timestamptz not null,
    text_key   bigint,              -- a hash of community and normalised text; null: not compared
    deleted    boolean not null
);
create index heard_post_text on heard_post (text_key, counted_at desc) where text_key is not null;

-- The links of a post, each as a hash of community, author and address.
create table heard_link (
    link_key   bigint not null,
    post       uuid not null,
    author     text not null,
    counted_at timestamptz not null,
    primary key (post, link_key)
);
create index heard_link_counted on heard_link (link_key, counted_at desc);

-- What was found in the current version of a post. A version without labels has no row.
create table verdict (
    post       uuid primary key,
    sequence   bigint not null,
    policy     text not null,
    community  text not null,
    source     text not null,
    language   text not null,
    counted_at timestamptz not null,
    judged_at  timestamptz not null,
    labels     jsonb not null
);
create index verdict_community on verdict (community, counted_at);

-- For reports: one row per label of the current version of each post that is not deleted.
create view published_flag as
select verdict.community,
       verdict.post,
       label.val as label,
       label.rule,
       label.severity,
       label.mode,
       label.explanation,
       verdict.counted_at,
       verdict.language,
       verdict.source
from verdict
cross join lateral jsonb_to_recordset(verdict.labels)
    as label (val text, rule text, severity text, mode text, explanation text);

grant select on published_flag to klankbord_reader;
