-- Where mail goes out: servers and accounts of users, with secrets that only our keys open.

create table connections (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    provider text not null check (provider in ('imap_smtp')),
    -- What mail is sent as.
    address text not null,
    display_name text,
    -- Servers, ports and how they are encrypted; no secrets.
    settings jsonb not null,
    -- version | length of the key's id | the key's id | nonce | ciphertext; empty once it is revoked.
    secret bytea not null,
    -- Which of our keys it is sealed with.
    key_id text not null,
    status text not null default 'active' check (status in ('active', 'degraded', 'reauth_required', 'revoked')),
    -- Why it is not active, as a code.
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

-- The switch that stops everything that leaves the house.
alter table tenants add column sending_disabled boolean not null default false;

alter table effects
    add column connection_id uuid,
    -- When it was last tried.
    add column begun_at timestamptz;
create index effects_sends on effects (tenant_id, connection_id, begun_at) where connection_id is not null;
