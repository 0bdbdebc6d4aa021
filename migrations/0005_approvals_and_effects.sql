-- Actions that triage proposes, the approvals that people decide, the accounts through which actions are executed, and
-- the ledger of their effects.

create table approvals (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    kind text not null,
    title text not null,
    summary text not null,
    -- What a person may do with it: a subset of approve, edit, reject.
    actions text[] not null,
    source text not null,
    payload jsonb not null,
    -- sha256 over the canonical payload: exactly what was approved is executed.
    payload_hash bytea not null check (octet_length(payload_hash) = 32),
    risk text not null check (risk in ('low', 'medium', 'high', 'critical')),
    status text not null default 'proposed' check (status in (
        'proposed', 'editing', 'approved', 'executing', 'executed', 'failed', 'rejected', 'expired', 'undoing', 'undone')),
    version int not null default 1 check (version > 0),
    rationale text,
    confidence real not null check (confidence between 0 and 1),
    -- The job that proposed it.
    job_id uuid not null,
    decided_by uuid,
    decided_at timestamptz,
    expires_at timestamptz not null,
    -- The job that executes the current version.
    execution_job_id uuid,
    executed_at timestamptz,
    failure_code text,
    failure_message text,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index approvals_open on approvals (tenant_id, created_at, id) where status = 'proposed';
create index approvals_expiring on approvals (expires_at) where status = 'proposed';
-- For finding the few whose job ended without settling them.
create index approvals_in_progress on approvals (decided_at) where status in ('editing', 'approved', 'executing', 'undoing');

create table proposed_actions (
    tenant_id uuid not null,
    id uuid not null,
    job_id uuid not null,
    message_id uuid not null,
    type text not null,
    payload jsonb not null,
    risk text not null check (risk in ('low', 'medium', 'high', 'critical')),
    gate text not null check (gate in ('auto', 'approval', 'denied')),
    requires_confirmation boolean not null,
    confidence real not null check (confidence between 0 and 1),
    rationale text,
    -- sha256 over type and canonical payload: two tasks from one message are two, the same task twice is one.
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    approval_id uuid,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint proposed_actions_fingerprint_key unique (tenant_id, job_id, fingerprint),
    foreign key (tenant_id, message_id) references messages (tenant_id, id),
    foreign key (tenant_id, approval_id) references approvals (tenant_id, id),
    check ((gate = 'approval') = (approval_id is not null))
);

-- Users' accounts at mail servers, calendars and webhooks. Their secrets are sealed with keys that only we hold.
create table connections (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    provider text not null check (provider in ('imap_smtp', 'caldav', 'webhook')),
    -- The sender's address; the URL of a calendar or a webhook.
    address text not null,
    display_name text,
    -- Servers, ports and how they are encrypted; no secrets.
    settings jsonb not null,
    -- version | length of the key's id | the key's id | nonce | ciphertext; empty after the connection was revoked.
    secret bytea not null,
    -- The key that seals the secret.
    key_id text not null,
    status text not null default 'active' check (status in ('active', 'degraded', 'reauth_required', 'revoked')),
    -- An error code, while the connection is not active.
    last_error text,
    sends_per_hour int not null default 60 check (sends_per_hour between 1 and 10000),
    max_recipients int not null default 20 check (max_recipients between 1 and 1000),
    version int not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create unique index connections_address_key on connections (tenant_id, user_id, lower(address)) where status <> 'revoked';

-- The ledger of effects on the outside world. An intent is committed before the first try, so that after a crash it is
-- known what may have happened. A dry run leaves no row.
create table effects (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- sha256 over tenant, type, target and payload: the same effect requested twice is one row.
    effect_key bytea not null check (octet_length(effect_key) = 32),
    -- sha256 over the payload: a caller's key that is reused for another payload is refused.
    payload_hash bytea check (octet_length(payload_hash) = 32),
    type text not null,
    connection_id uuid,
    approval_id uuid,
    -- The message that it is about.
    message_id uuid,
    -- The bytes that are sent, and their Message-ID; every try sends the same.
    rendered bytea,
    rfc_message_id text,
    status text not null default 'intent' check (status in (
        'intent', 'in_flight', 'succeeded', 'failed_permanent', 'retryable', 'unknown', 'reconciling', 'needs_human',
        'compensating', 'compensated', 'compensation_failed')),
    -- The job that holds it and the fence that guards its outcome; before the first try, the job that requested it.
    job_id uuid not null,
    attempt int not null,
    -- When the last try began.
    last_tried_at timestamptz,
    -- The provider's answer, by which the effect can be found there.
    receipt jsonb,
    -- The state before the effect, for undoing it.
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
-- Unknown effects: few, and counted at every scrape.
create index effects_unknown on effects (updated_at) where status in ('unknown', 'reconciling', 'needs_human');
create index effects_approval on effects (tenant_id, approval_id) where approval_id is not null;
-- For the limit of sends per hour.
create index effects_sends on effects (tenant_id, connection_id, last_tried_at) where connection_id is not null;
-- Finds our own messages when they come back in the sent folder: they are not a user's replies.
create index effects_rfc_message_id on effects (tenant_id, rfc_message_id) where rfc_message_id is not null;
-- Finds messages that an action already replied to. A reply that was sent has a Message-ID; a draft of one has none.
create index effects_replies on effects (tenant_id, message_id) where type = 'reply' and rfc_message_id is not null;
