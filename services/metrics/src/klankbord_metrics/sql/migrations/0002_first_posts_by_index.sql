-- Whose first post, and what opens a thread, is the first entry of an index: with the post in it,
-- nothing is left to sort, however much somebody wrote.
create index counted_author_first on counted (community, author, counted_at, post)
  where author is not null;
drop index counted_author;
create index counted_thread_first on counted (thread, counted_at, post);
drop index counted_thread;
