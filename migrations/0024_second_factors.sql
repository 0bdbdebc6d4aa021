-- Second factors: the codes of an authenticator app (RFC 6238), and recovery codes for when the app is lost.

create table second_factors (
    tenant_id uuid not null,
    -- A user has one.
    user_id uuid not null,
    -- The app's secret, sealed for this row; see jobs::secrets.
    secret bytea not null,
    key_id text not null,
    created_at timestamptz not null default now(),
    -- When the user proved that the app has the secret. Until then it opens and protects nothing.
    confirmed_at timestamptz,
    -- The newest 30-second step of which a code was accepted: none is accepted twice.
    last_step bigint not null default 0,
    primary key (tenant_id, user_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);

-- Codes that were not used yet; using one deletes it.
create table recovery_codes (
    tenant_id uuid not null,
    user_id uuid not null,
    -- sha256; a code has 120 random bits, so that there is nothing to guess.
    code_hash bytea not null check (octet_length(code_hash) = 32),
    primary key (tenant_id, user_id, code_hash),
    foreign key (tenant_id, user_id) references second_factors (tenant_id, user_id) on delete cascade
);

-- Users without a second factor can only enrol one.
alter table tenants add column require_second_factor boolean not null default false;

alter table sessions drop constraint sessions_revoke_reason_check;
alter table sessions add constraint sessions_revoke_reason_check
    check (revoke_reason in ('logout', 'revoked', 'reuse', 'excess', 'admin', 'password', 'second_factor')) not valid;
alter table sessions validate constraint sessions_revoke_reason_check;
