-- What the assistant remembers for a user, and whose story a line of the history is.

create table memory_items (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    level text not null check (level in ('episodic', 'semantic', 'procedural', 'narrative')),
    scope text not null check (scope in ('global', 'sender', 'domain', 'topic')),
    -- Which sender, domain or topic, in lower case; empty for what holds everywhere.
    scope_value text not null check (length(scope_value) <= 320),
    key text not null check (length(key) between 1 and 200),
    value jsonb not null check (pg_column_size(value) <= 65536),
    provenance text not null check (provenance in ('user', 'user_edit', 'llm', 'email')),
    confidence real not null check (confidence between 0 and 1),
    pinned boolean not null,
    status text not null default 'active' check (status in ('active', 'expired', 'evicted', 'superseded', 'deleted')),
    -- Counts on when an item takes the place of another under the same key.
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
    -- A person who deletes something does not wait for the purge.
    check (status <> 'deleted' or value = 'null'),
    -- No mail writes a fact or a habit into the memory by being read: these need the user's own word.
    constraint memory_items_poisoning check (
        provenance in ('user', 'user_edit') or level in ('episodic', 'narrative'))
);
create unique index memory_items_live_key on memory_items (tenant_id, user_id, level, scope, scope_value, key)
    where status = 'active';
create index memory_items_live on memory_items (tenant_id, user_id, level, last_used_at) where status = 'active';
create index memory_items_expiring on memory_items (expires_at) where status = 'active' and expires_at is not null;
create index memory_items_ended on memory_items (ended_at) where status <> 'active';

alter table history_entries
    -- Null is everybody of the tenant.
    add column user_id uuid;
