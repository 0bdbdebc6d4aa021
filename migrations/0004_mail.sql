-- Mail that was handed in, the rules that judge it, and what triage found.

create table messages (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- Which of the two ways it came in; `source` holds it unchanged until retention takes it.
    format text not null check (format in ('rfc822', 'envelope')),
    source bytea not null,
    -- sha256 over Message-ID, sender, date, subject and text: two copies that differ only in transport are one mail.
    content_hash bytea not null check (octet_length(content_hash) = 32),
    received_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index messages_content_hash on messages (tenant_id, content_hash);

create table rule_sets (
    tenant_id uuid not null references tenants (id),
    version int not null check (version > 0),
    yaml text not null,
    active boolean not null,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, version)
);
create unique index rule_sets_active_key on rule_sets (tenant_id) where active;

create table approvals (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    kind text not null,
    title text not null,
    summary text not null,
    -- What a person may do with it: a subset of approve, edit, skip.
    actions text[] not null,
    source text not null,
    payload jsonb not null,
    -- sha256 over the canonical payload: what is approved is what is executed, byte for byte.
    payload_hash bytea not null check (octet_length(payload_hash) = 32),
    risk text not null check (risk in ('low', 'medium', 'high', 'critical')),
    status text not null default 'proposed' check (status in (
        'proposed', 'editing', 'approved', 'executing', 'executed', 'failed', 'skipped', 'expired', 'undoing', 'undone')),
    version int not null default 1 check (version > 0),
    rationale text,
    confidence real not null check (confidence between 0 and 1),
    job_id uuid not null,
    decided_by uuid,
    decided_at timestamptz,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index approvals_open on approvals (tenant_id, created_at, id) where status = 'proposed';

create table triage_results (
    tenant_id uuid not null,
    job_id uuid not null,
    message_id uuid not null,
    -- That of the message: copies of one mail are judged once.
    content_hash bytea not null check (octet_length(content_hash) = 32),
    ruleset_version int not null,
    -- Which means were allowed to decide.
    mode text not null check (mode in ('rules_then_llm', 'rules_only', 'llm_only')),
    -- Asked for although the mail had been judged by this rule set.
    forced boolean not null,
    prompt_version text,
    category text not null check (category in ('needs_response', 'needs_approval', 'fyi', 'scheduling', 'task',
        'newsletter', 'notification', 'cold', 'spam', 'unknown')),
    disposition text not null check (disposition in ('ignore', 'notify', 'respond')),
    priority text not null check (priority in ('low', 'medium', 'high', 'urgent')),
    sla text not null check (sla in ('<24h', '<72h', 'none')),
    confidence real not null check (confidence between 0 and 1),
    rationale text not null,
    source text not null check (source in ('rule', 'learned', 'llm', 'fallback', 'guard')),
    rules_applied text[] not null,
    injection_suspected boolean not null,
    degraded boolean not null,
    thread_status text not null check (thread_status in ('TO_REPLY', 'AWAITING', 'FYI', 'ACTIONED')),
    created_at timestamptz not null default now(),
    primary key (tenant_id, job_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id)
);
create index triage_results_message on triage_results (tenant_id, message_id);
-- Two jobs that judge one mail at the same time meet here: the second waits for the first and is refused.
create unique index triage_results_once_key on triage_results (tenant_id, content_hash, ruleset_version, mode)
    where not forced;
create index triage_results_content on triage_results (tenant_id, content_hash, ruleset_version, mode, created_at);

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
    -- sha256 over type and canonical payload: two tasks from one mail are two, the same task twice is one.
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    approval_id uuid,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint proposed_actions_fingerprint_key unique (tenant_id, job_id, fingerprint),
    foreign key (tenant_id, message_id) references messages (tenant_id, id),
    foreign key (tenant_id, approval_id) references approvals (tenant_id, id),
    check ((gate = 'approval') = (approval_id is not null))
);

-- One row per model call, without its text.
create table llm_calls (
    tenant_id uuid not null,
    id uuid not null,
    job_id uuid not null,
    attempt int not null,
    step text not null,
    provider text not null,
    model text not null,
    prompt_version text not null,
    prompt_sha256 bytea not null check (octet_length(prompt_sha256) = 32),
    prompt_bytes int not null,
    response_bytes int not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_tokens bigint not null,
    tries int not null,
    duration_ms bigint not null,
    outcome text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index llm_calls_job on llm_calls (tenant_id, job_id);

-- The answer to a model call, kept until its job ends: a crash after the answer must not pay for it twice.
create table llm_checkpoints (
    tenant_id uuid not null,
    job_id uuid not null,
    step text not null,
    request_hash bytea not null check (octet_length(request_hash) = 32),
    completion jsonb not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, job_id, step, request_hash)
);
create index llm_checkpoints_created_at on llm_checkpoints (created_at);
