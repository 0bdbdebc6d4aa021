-- Webhooks that are called when jobs end.

create table subscriptions (
    tenant_id uuid not null,
    connection_id uuid not null,
    events text[] not null constraint subscriptions_events_known check (cardinality(events) > 0 and events <@ array[
        'job.succeeded', 'job.discarded', 'job.cancelled']),
    status text not null default 'active' check (status in ('active', 'suspended', 'ended')),
    -- Why it is not active.
    last_error text,
    -- A place in the tenant's audit log: what stands up to it was delivered, or is not wanted.
    position_xid xid8 not null,
    position_seq bigint not null,
    -- The job that delivers, or did so last. Only it moves the position over events.
    delivery_job_id uuid,
    delivered bigint not null default 0 check (delivered >= 0),
    last_delivered_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, connection_id),
    foreign key (tenant_id, connection_id) references connections (tenant_id, id)
) with (fillfactor = 70); -- the position is updated in place (HOT); no index may contain it
create index subscriptions_active on subscriptions (tenant_id, connection_id) where status = 'active';
