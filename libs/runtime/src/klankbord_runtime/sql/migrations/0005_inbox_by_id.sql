-- The id tells two rows apart at the first comparison, where the consumer is the same for most.
alter table inbox drop constraint inbox_pkey, add primary key (id, consumer);
