-- What every service has in its own schema: what it has handled, and what it has to say.

create table inbox (
    consumer text not null,
    id uuid not null,
    handled timestamptz not null default now(),
    primary key (consumer, id)
);
create index inbox_handled on inbox using brin (handled);

-- An event that is being run alone: three attempts that end in a bug or a dead process are enough.
create table attempt (
    consumer text not null,
    stream_sequence bigint not null,
    attempts int not null,
    problem text not null default '',
    primary key (consumer, stream_sequence)
);

create sequence outbox_batch;

-- Rows are never updated; partitions by hour are dropped when they are old and sent.
create table outbox (
    batch bigint not null,
    position int not null,
    recorded timestamptz not null,
    id uuid not null,
    subject text not null,
    body bytea not null,
    primary key (recorded, batch, position)
) partition by range (recorded);
create table outbox_default partition of outbox default;

-- One small row per batch, deleted when the batch was sent: what the relay has to do is this table.
create table outbox_pending (
    batch bigint primary key,
    recorded timestamptz not null,
    size int not null
);
