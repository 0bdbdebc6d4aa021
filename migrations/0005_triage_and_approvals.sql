-- The rules that triage emails, the results, the actions that a triage proposes, the approvals that people decide, and what
-- they corrected.

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
    -- The model was away and the fallback decided: the message is triaged again when the model is back.
    outage boolean not null default false,
    thread_status text not null check (thread_status in ('TO_REPLY', 'AWAITING', 'FYI', 'ACTIONED')),
    -- The user whose mailbox the email arrived in, if there is one: erasing them also forgets emails that led to no inbox
    -- item, draft or answer.
    owner_id uuid,
    -- The email that was judged, as a correction names it.
    sender text check (char_length(sender) <= 320),
    subject text check (char_length(subject) <= 200),
    created_at timestamptz not null default now(),
    primary key (tenant_id, job_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id)
);
create index triage_results_message on triage_results (tenant_id, message_id);
-- Of two jobs that triage one message at the same time, the second waits here for the first and is refused.
create unique index triage_results_once_key on triage_results (tenant_id, content_hash, ruleset_version, mode)
    where not forced and not outage;
create index triage_results_content on triage_results (tenant_id, content_hash, ruleset_version, mode, created_at);

create table approvals (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    -- The person whose draft it sends; null for what every user of the tenant reads and decides.
    owner_id uuid,
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
    -- The user whose request proposed it; null for what a triage or an API key proposed.
    requested_by uuid,
    -- The user who created the API key that asked for this action: with four eyes, they do not approve it. Null if no key
    -- did, and if the key only submitted the email that it follows from. Apart from requested_by, in whose name an action
    -- is executed.
    key_creator uuid,
    -- The user who wrote the present payload by an edit or a revision; null if it is as it was proposed. With four eyes,
    -- they do not approve it either.
    edited_by uuid,
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
-- A reader's list is merged from the newest of each owner whose approvals the reader decides: the rows of others are not
-- passed.
create index approvals_owner
    on approvals (tenant_id, coalesce(owner_id, '00000000-0000-0000-0000-000000000000'), id);
-- What is due to be forgotten.
create index approvals_kept on approvals (tenant_id, created_at) where payload <> '{}';

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
-- For forgetting: each deleted email is looked for here.
create index proposed_actions_message on proposed_actions (tenant_id, message_id);

-- What people corrected: proposals that they rejected or changed, drafts that they revised or discarded. The next prompts
-- for the same person show a few of them as examples.
create table judgement_corrections (
    tenant_id uuid not null,
    -- One correction per approval: the last one counts.
    approval_id uuid not null,
    -- The person whose prompts learn from it.
    user_id uuid not null,
    kind text not null check (kind in ('rejected', 'changed', 'revised', 'discarded')),
    action_type text not null,
    -- Of the email; null if the draft answers none.
    sender text check (char_length(sender) <= 320),
    subject text check (char_length(subject) <= 200),
    -- Excerpts: what was proposed, and what the person wanted instead.
    proposed text not null check (char_length(proposed) <= 300),
    chosen text check (char_length(chosen) <= 500),
    created_at timestamptz not null default now(),
    primary key (tenant_id, approval_id),
    foreign key (tenant_id, approval_id) references approvals (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create index judgement_corrections_user on judgement_corrections (tenant_id, user_id, created_at);
create index judgement_corrections_created_at on judgement_corrections (created_at);
