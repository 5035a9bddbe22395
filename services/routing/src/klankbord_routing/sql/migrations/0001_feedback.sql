-- What routing remembers: enough to end alike in every order of arrival, and for the reports.

-- One row per post that anything was heard of, for as long as the post lives.
create table post (
    post uuid primary key,
    version bigint,        -- the newest that was heard; null while only a flag was
    attributed_to text     -- whoever is forgotten is found by it
);
create index post_attributed_to on post (attributed_to);

-- The gravest live flag of a version: of the newest one, and of those still to come.
create table flag (
    post uuid not null references post on delete cascade,
    version bigint not null,
    severity text not null check (severity in ('low', 'medium', 'high', 'critical')),
    explanation text not null,
    primary key (post, version)
);

-- A post at a department, as it was routed last: open, or withdrawn.
create table feedback (
    post uuid not null references post on delete cascade,
    department text not null,
    revision bigint not null check (revision >= 1),
    version bigint not null,
    state text not null check (state in ('open', 'withdrawn')),
    community text not null,
    source text not null,
    intent text not null,
    score double precision not null,
    priority text not null check (priority in ('critical', 'high', 'medium', 'low')),
    due_at timestamptz not null,
    rules text not null,
    published timestamptz not null,
    url text,
    language text not null,
    routed_at timestamptz not null,
    withdrawn_at timestamptz,
    withdrawn_because text,
    primary key (post, department)
);
create index feedback_open on feedback (community, department, due_at) where state = 'open';

create view published_case as
select community, department, post, source, intent, score, priority, due_at, state,
    routed_at, withdrawn_at, withdrawn_because, published, language, url
from feedback;
grant select on published_case to klankbord_reader;
