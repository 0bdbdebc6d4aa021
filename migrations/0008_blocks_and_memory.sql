-- Blocks of a user's day, and what the assistant remembers for a user.

-- For equality beside an overlap in one constraint. Trusted since Postgres 13, so the database's owner may create it.
create extension if not exists btree_gist;

create table blocks (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    title text not null check (length(title) between 1 and 200),
    kind text not null check (kind in ('focus', 'admin', 'meeting', 'break', 'travel', 'buffer')),
    source text not null check (source in ('assistant', 'user')),
    -- The inbox item that the time is for.
    inbox_item_id uuid,
    -- Alternative plans for one item share an alternatives_id; one of the plans is chosen.
    alternatives_id uuid,
    plan text check (length(plan) between 1 and 40),
    start_at timestamptz not null,
    end_at timestamptz not null,
    outside_hours boolean not null,
    status text not null default 'proposed' check (status in (
        'proposed', 'accepted', 'booked', 'conflicted', 'rejected', 'expired', 'superseded', 'cancelled')),
    version int not null default 1 check (version > 0),
    -- The approval that books the block in the user's calendar.
    approval_id uuid,
    -- The calendar event, and its ETag when it was written.
    event_ref text,
    event_etag text,
    created_at timestamptz not null default now(),
    decided_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    foreign key (tenant_id, inbox_item_id) references inbox_items (tenant_id, id),
    constraint blocks_approval foreign key (tenant_id, approval_id) references approvals (tenant_id, id),
    check (end_at > start_at),
    check ((alternatives_id is null) = (plan is null)),
    check (status <> 'booked' or event_ref is not null),
    -- Two blocks that were agreed to never overlap.
    constraint blocks_no_overlap exclude using gist (
        tenant_id with =, user_id with =, tstzrange(start_at, end_at) with &&
    ) where (status in ('accepted', 'booked'))
);
-- An item has one open block, or one in each of its alternative plans.
create unique index blocks_open_item
    on blocks (tenant_id, user_id, inbox_item_id, coalesce(alternatives_id::text || plan, ''))
    where inbox_item_id is not null and status in ('proposed', 'conflicted');
create index blocks_user on blocks (tenant_id, user_id, start_at);
create index blocks_undecided on blocks (end_at) where status in ('proposed', 'conflicted');
create unique index blocks_booking on blocks (tenant_id, approval_id) where approval_id is not null;
-- For forgetting: the blocks of each deleted email's inbox item.
create index blocks_item on blocks (tenant_id, inbox_item_id) where inbox_item_id is not null;

create table memory_items (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    level text not null check (level in ('episodic', 'semantic', 'procedural', 'narrative')),
    scope text not null check (scope in ('global', 'sender', 'domain', 'topic')),
    -- The sender, domain or topic, in lower case; empty for the global scope.
    scope_value text not null check (length(scope_value) <= 320),
    key text not null check (length(key) between 1 and 200),
    value jsonb not null check (pg_column_size(value) <= 65536),
    provenance text not null check (provenance in ('user', 'user_edit', 'llm', 'email')),
    confidence real not null check (confidence between 0 and 1),
    pinned boolean not null,
    status text not null default 'active' check (status in ('active', 'expired', 'evicted', 'superseded', 'deleted')),
    -- Goes on counting when an item replaces another under the same key.
    version int not null check (version > 0),
    use_count bigint not null default 0,
    last_used_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    check ((scope = 'global') = (scope_value = '')),
    check ((status = 'active') = (ended_at is null)),
    -- A deletion erases the value at once and does not wait for the purge.
    check (status <> 'deleted' or value = 'null'),
    -- A message must not write a fact or a habit into the memory by being read: these need the user's own words.
    constraint memory_items_poisoning check (
        provenance in ('user', 'user_edit') or level in ('episodic', 'narrative'))
);
create unique index memory_items_live_key on memory_items (tenant_id, user_id, level, scope, scope_value, key)
    where status = 'active';
create index memory_items_live on memory_items (tenant_id, user_id, level, last_used_at) where status = 'active';
create index memory_items_expiring on memory_items (expires_at) where status = 'active' and expires_at is not null;
create index memory_items_ended on memory_items (ended_at) where status <> 'active';
