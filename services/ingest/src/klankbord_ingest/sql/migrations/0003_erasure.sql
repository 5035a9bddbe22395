-- What an erasure needs: whose posts they are by community, and that a post has no more versions.
-- The community is null for what was heard before it was kept.
alter table post
    add column community text,
    add column erased boolean not null default false;
alter table interaction add column community text;
