-- Whoever is forgotten is found by a digest of the name, which reads the whole table: no query can
-- use this index, and each post paid for it.
drop index post_attributed_to;
