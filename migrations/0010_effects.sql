-- The ledger of what is done to the outside world: an intent is committed before anything is tried, so that after a crash
-- it is known what may have happened. A dry run leaves no row.

create table effects (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- sha256 over who, what, to what and with what: the same thing asked for twice is one row.
    effect_key bytea not null check (octet_length(effect_key) = 32),
    type text not null,
    -- The bytes that go out, and the Message-ID they carry; both stay the same however often it is tried.
    rendered bytea,
    message_id text,
    approval_id uuid,
    status text not null default 'intent' check (status in (
        'intent', 'in_flight', 'succeeded', 'failed_permanent', 'retryable', 'unknown', 'reconciling', 'needs_human',
        'compensating', 'compensated', 'compensation_failed')),
    -- Who holds it, and the fence that guards its outcome; before the first try, who asked for it.
    job_id uuid not null,
    attempt int not null,
    -- What the other side said, by which it can be found there.
    receipt jsonb,
    -- What was there before, for taking it back.
    before_image jsonb,
    error_code text,
    request_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint effects_key unique (tenant_id, effect_key),
    foreign key (tenant_id, approval_id) references approvals (tenant_id, id)
);
create index effects_open on effects (updated_at) where status in ('intent', 'in_flight');
