-- Messages that were submitted, the rules that triage them, the results, and the model calls behind them.

create table messages (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- How the message was submitted; `source` holds it unchanged until retention deletes it.
    format text not null check (format in ('rfc822', 'envelope')),
    source bytea not null,
    -- sha256 over Message-ID, sender, date, subject and text: copies that differ only in transport are one message.
    content_hash bytea not null check (octet_length(content_hash) = 32),
    received_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index messages_content_hash on messages (tenant_id, content_hash);

-- Messages that a tenant's own users wrote in a thread, one row per message that such a message refers to. A draft for a
-- thread that its user has written to since is not sent.
create table own_messages (
    tenant_id uuid not null,
    message_id uuid not null,
    -- The Message-ID that it refers to, in angle brackets.
    refers_to text not null,
    -- True for the message that it replies to, false for others of the thread.
    answers boolean not null,
    user_id uuid not null,
    sent_at timestamptz not null,
    primary key (tenant_id, refers_to, message_id, user_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id)
);
create index own_messages_message on own_messages (tenant_id, message_id);

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

create table triage_results (
    tenant_id uuid not null,
    job_id uuid not null,
    message_id uuid not null,
    -- The message's hash: copies of one message are triaged once.
    content_hash bytea not null check (octet_length(content_hash) = 32),
    ruleset_version int not null,
    mode text not null check (mode in ('rules_then_llm', 'rules_only', 'llm_only')),
    -- The caller asked for a new result although this rule set had triaged the message.
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
-- Of two jobs that triage one message at the same time, the second waits here for the first and is refused.
create unique index triage_results_once_key on triage_results (tenant_id, content_hash, ruleset_version, mode)
    where not forced;
create index triage_results_content on triage_results (tenant_id, content_hash, ruleset_version, mode, created_at);

-- One row per model call, without prompt or completion.
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

-- Completions, kept until their job ends: a crash after the answer must not pay for it twice.
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
