-- Messages that the assistant writes for users: a draft, and its versions, each of which holds everything that is sent.

create table drafts (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    mode text not null check (mode in ('reply', 'reply_all', 'compose', 'forward', 'follow_up')),
    -- The message that it replies to or forwards.
    message_id uuid,
    -- When that message was sent: what its user wrote in the thread since then is a reply.
    original_sent_at timestamptz,
    -- The user who sends it; null if no user of the tenant matches.
    user_id uuid,
    status text not null default 'ready' check (status in (
        'generating', 'ready', 'approved', 'scheduled', 'sending', 'sent', 'send_failed', 'send_unknown', 'discarded',
        'superseded_by_user')),
    -- The newest version.
    version int not null check (version > 0),
    -- The approval of the newest version.
    approval_id uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id),
    foreign key (tenant_id, approval_id) references approvals (tenant_id, id)
);
create index drafts_message on drafts (tenant_id, message_id) where message_id is not null;
create index drafts_approval on drafts (tenant_id, approval_id);
create index drafts_unsent on drafts (tenant_id) where status in ('ready', 'approved', 'scheduled', 'sending', 'send_failed');

create table draft_versions (
    tenant_id uuid not null,
    draft_id uuid not null,
    version int not null check (version > 0),
    from_address text,
    to_addresses text[] not null,
    cc_addresses text[] not null,
    bcc_addresses text[] not null,
    subject text not null,
    in_reply_to text,
    reference_ids text[] not null,
    body_text text not null,
    send_at timestamptz,
    -- sha256 over the columns above: exactly what was approved is sent.
    content_hash bytea not null check (octet_length(content_hash) = 32),
    origin text not null check (origin in ('llm', 'user', 'revise')),
    instructions text,
    tone text check (tone in ('brief', 'friendly', 'detailed', 'calm', 'formal')),
    confidence text not null check (confidence in ('LOW', 'MEDIUM', 'HIGH')),
    language text,
    assumptions text[] not null,
    open_questions text[] not null,
    memory_ids uuid[] not null,
    model text,
    prompt_version text,
    job_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, draft_id, version),
    foreign key (tenant_id, draft_id) references drafts (tenant_id, id)
);

create trigger draft_versions_append_only before update or delete on draft_versions
    for each row execute function refuse_change();
create trigger draft_versions_no_truncate before truncate on draft_versions
    for each statement execute function refuse_change();
alter table draft_versions enable always trigger draft_versions_append_only;
alter table draft_versions enable always trigger draft_versions_no_truncate;
