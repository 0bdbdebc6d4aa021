-- Blocks of a user's day. Two that were agreed to cannot take the same time: that is the table's own word.

-- For equality beside an overlap in one constraint; trusted since Postgres 13, so the schema's owner may create it.
create extension if not exists btree_gist;

create table schedule_blocks (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    title text not null check (length(title) between 1 and 200),
    kind text not null check (kind in ('focus', 'admin', 'meeting', 'break', 'travel', 'buffer')),
    source text not null check (source in ('assistant', 'user')),
    -- What it is for.
    action_item_id uuid,
    -- Several plans for one thing: of those with one alternatives_id one plan is chosen.
    alternatives_id uuid,
    plan text check (length(plan) between 1 and 40),
    start_at timestamptz not null,
    end_at timestamptz not null,
    outside_hours boolean not null,
    status text not null default 'proposed' check (status in (
        'proposed', 'accepted', 'booked', 'conflicted', 'rejected', 'expired', 'superseded', 'cancelled')),
    version int not null default 1 check (version > 0),
    -- Where it is in the calendar, and what was there when it was put there.
    event_ref text,
    event_etag text,
    created_at timestamptz not null default now(),
    decided_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    check (end_at > start_at),
    check ((alternatives_id is null) = (plan is null)),
    check (status <> 'booked' or event_ref is not null),
    constraint schedule_blocks_no_overlap exclude using gist (
        tenant_id with =, user_id with =, tstzrange(start_at, end_at) with &&
    ) where (status in ('accepted', 'booked'))
);
-- The same thing twice on one day's list is one block; in alternative plans it stands once in each.
create unique index schedule_blocks_open_item
    on schedule_blocks (tenant_id, user_id, action_item_id, coalesce(alternatives_id::text || plan, ''))
    where action_item_id is not null and status in ('proposed', 'conflicted');
create index schedule_blocks_user on schedule_blocks (tenant_id, user_id, start_at);
create index schedule_blocks_undecided on schedule_blocks (end_at) where status in ('proposed', 'conflicted');
