-- The audit log, which all share: sql/provision/audit.sql makes it.

-- name: append_to_audit
select audit.append($1, $2);

-- name: fetch_audit
select number, at, role, act, details, previous, hash
from audit.entry order by number desc limit $1;
