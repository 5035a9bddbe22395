-- Most threads are opened by the post that they are named after, and that one is found by its id:
-- only the others need an index. Room in each page lets a post be updated where it stands when it
-- turns out to be somebody's first or is answered, as half of them are soon.
create index if not exists counted_opening_unnamed on counted (thread) where opens and thread <> post;
drop index counted_opening;
alter table counted set (fillfactor = 85);
