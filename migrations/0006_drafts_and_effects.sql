-- Messages that the assistant writes for users, and the ledger of what is done in their accounts.

-- A draft; each of its versions holds everything that is sent.
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
    -- After how many days without an answer it is followed up. Null: as its user wants it; 0: not at all.
    follow_up_days smallint check (follow_up_days between 0 and 90),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id),
    foreign key (tenant_id, approval_id) references approvals (tenant_id, id)
);
create index drafts_message on drafts (tenant_id, message_id) where message_id is not null;
create index drafts_approval on drafts (tenant_id, approval_id);
create index drafts_unsent on drafts (tenant_id) where status in ('ready', 'approved', 'scheduled', 'sending', 'send_failed');
-- As approvals_owner.
create index drafts_owner
    on drafts (tenant_id, coalesce(user_id, '00000000-0000-0000-0000-000000000000'), id);

-- An approval is of the person whose draft it sends, by whatever statement the draft is written.
create function set_approval_owner() returns trigger
    language plpgsql set search_path = pg_catalog, public as $$
begin
    update approvals set owner_id = new.user_id
        where tenant_id = new.tenant_id and id = new.approval_id and owner_id is distinct from new.user_id;
    return null;
end $$;

create trigger drafts_approval_owner after insert or update of approval_id, user_id on drafts
    for each row execute function set_approval_owner();

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

-- As in 0003_audit.
create trigger draft_versions_append_only before update or delete on draft_versions
    for each row execute function refuse_change_unless_erased();
create trigger draft_versions_no_truncate before truncate on draft_versions
    for each statement execute function refuse_change();
alter table draft_versions enable always trigger draft_versions_append_only;
alter table draft_versions enable always trigger draft_versions_no_truncate;

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
    -- The Message-ID that the mail server gave an email instead of ours; null if it kept ours, or we do not know.
    server_message_id text,
    status text not null default 'intent' check (status in (
        'intent', 'in_flight', 'succeeded', 'bounced', 'failed_permanent', 'retryable', 'unknown', 'reconciling', 'needs_human',
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
create index effects_server_message_id on effects (tenant_id, server_message_id) where server_message_id is not null;
-- Finds messages that an action already replied to. A reply that was sent has a Message-ID; a draft of one has none.
create index effects_replies on effects (tenant_id, message_id) where type = 'reply' and rfc_message_id is not null;
-- For forgetting: each deleted email is looked for here, and what is due is found by its age.
create index effects_message on effects (tenant_id, message_id) where message_id is not null;
create index effects_rendered on effects (tenant_id, created_at) where rendered is not null;
