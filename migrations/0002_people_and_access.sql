-- Tenants and their settings, their users, and with what these and their programs authenticate: invites, sessions, second
-- factors, identity providers, API keys. Also who decides for whom, and the answers stored for repeated requests.
-- Every key of a tenant's table starts with tenant_id, so that a reference across tenants cannot be written, and
-- row-level security or one database per tenant stay possible.

create table tenants (
    id uuid primary key,
    slug text not null constraint tenants_slug_key unique,
    status text not null default 'active' check (status in ('trial', 'active', 'paused', 'closed')),
    -- A paused tenant may run 0 jobs at once; the limit that it had is kept here until it is resumed.
    limit_before_pause int check (limit_before_pause between 1 and 100000),
    trust_mode text not null default 'training_wheels'
        check (trust_mode in ('training_wheels', 'supervised', 'autonomous')),
    -- Who asked for an action does not approve it.
    four_eyes boolean not null default false,
    -- Users without a second factor can only enrol one.
    require_second_factor boolean not null default false,
    -- Stops everything that would leave the tenant: messages, invitations, webhooks.
    sending_disabled boolean not null default false,
    -- What to do with a message that may have been sent when the provider cannot say whether it was.
    unknown_sends text not null default 'ask' check (unknown_sends in ('ask', 'resend')),
    -- Whether drafts of answers have the original email below their text. Off, because it sends more than the model wrote.
    quote_original boolean not null default false,
    -- How long jobs wait for a model that is away, and whether triage may give up earlier.
    triage_wait_seconds int not null default 86400 check (triage_wait_seconds between 1 and 2592000),
    draft_wait_seconds int not null default 259200 check (draft_wait_seconds between 1 and 2592000),
    on_outage text not null default 'wait' check (on_outage in ('wait', 'fallback_after')),
    fallback_after_seconds int not null default 3600 check (fallback_after_seconds between 1 and 2592000),
    -- How long a model's answer is used again; null, the default: never. At most a day, because an answer tells of its
    -- email.
    answer_cache_seconds int check (answer_cache_seconds between 60 and 86400),
    -- How long questions to models and their answers are kept for people to read; null, the default: they are not. Short,
    -- because they hold whole emails.
    prompt_capture_days int check (prompt_capture_days between 1 and 14),
    -- How long emails are kept, and what is made of them. Null: for good.
    email_retention_days int check (email_retention_days between 7 and 3650),
    created_at timestamptz not null default now(),
    check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);

create table users (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    email text not null check (length(email) between 3 and 320),
    role text not null check (role in ('owner', 'admin', 'operator', 'member', 'auditor')),
    status text not null default 'active' check (status in ('active', 'suspended', 'deleted')),
    -- PHC string of argon2id. It carries its parameters, which are raised at the next login.
    password_hash text not null,
    timezone text not null default 'UTC',
    -- Null: emails that this user sends are not followed up.
    follow_up_days smallint check (follow_up_days between 1 and 90),
    follow_up text not null default 'item' check (follow_up in ('item', 'draft')),
    -- When the user's day's digest comes, in the user's time zone. Null: none.
    digest_at time,
    digest_by_email boolean not null default false,
    -- The next moment at which it is `digest_at` there. Computed by the program, whose time zones may be newer than
    -- Postgres'.
    next_digest_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint users_digest_check check ((digest_at is null) = (next_digest_at is null))
);
-- An address belongs to one user of a tenant, whatever its case. Logins look users up here.
create unique index users_email_key on users (tenant_id, lower(email));
create index users_next_digest on users (next_digest_at) where next_digest_at is not null;
-- For owners_decided_by.
create index users_inactive on users (tenant_id, id) where status <> 'active';

create table invites (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    email text not null check (length(email) between 3 and 320),
    role text not null check (role in ('owner', 'admin', 'operator', 'member', 'auditor')),
    token_hash bytea not null constraint invites_token_hash_key unique check (octet_length(token_hash) = 32),
    -- Null for the first owner, who is invited from the command line.
    invited_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    accepted_at timestamptz,
    revoked_at timestamptz,
    primary key (tenant_id, id),
    check (accepted_at is null or revoked_at is null)
);
-- An address has one live invite at most; sending it again revokes the former one first.
create unique index invites_pending_key on invites (tenant_id, lower(email))
    where accepted_at is null and revoked_at is null;

-- Failed logins of the last minutes, per account and per address. Maintenance deletes old rows.
create table login_failures (
    -- sha256 over the scope and its value: the table names neither accounts nor addresses.
    subject bytea not null check (octet_length(subject) = 32),
    at timestamptz not null default now()
);
create index login_failures_subject on login_failures (subject, at);
create index login_failures_at on login_failures (at);
-- Without a primary key, because failures of one moment are alike: a database that is published for logical replication
-- would refuse deletes.
alter table login_failures replica identity full;

-- A session is a family of token generations. Only this row says whether it is alive: with a flag per token, a
-- descendant of a revoked family could be refreshed.
create table sessions (
    tenant_id uuid not null,
    id uuid not null constraint sessions_id_key unique,
    user_id uuid not null,
    auth_method text not null check (auth_method in ('password', 'invite', 'dev', 'oidc')),
    created_at timestamptz not null default now(),
    -- When the user last typed their password in this session; what concerns access asks for a recent time.
    authenticated_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    -- When a reading of the audit log was last written down for this session; null if it has read nothing.
    audit_read_at timestamptz,
    expires_at timestamptz not null,
    idle_timeout interval not null check (idle_timeout > interval '0'),
    idle_expires_at timestamptz not null,
    revoked_at timestamptz,
    revoke_reason text check (revoke_reason in ('logout', 'revoked', 'reuse', 'excess', 'admin', 'password', 'second_factor')),
    ip inet,
    user_agent text check (length(user_agent) <= 256),
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    check ((revoked_at is null) = (revoke_reason is null))
) with (fillfactor = 80); -- last_used_at is updated in place (HOT); no index may contain it
-- Also of revoked ones: when a user was last seen and whether an address is new ask for all of their sessions, and would
-- read the whole table for each user.
create index sessions_of_user on sessions (tenant_id, user_id);

create table session_tokens (
    -- sha256 over the kind of token and the token: a database dump holds nothing that opens a session.
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    session_id uuid not null references sessions (id) on delete cascade,
    generation int not null check (generation > 0),
    issued_at timestamptz not null default now(),
    first_used_at timestamptz,
    superseded_at timestamptz,
    -- A superseded token is accepted until then: its successor may have been lost on the way to the client.
    grace_until timestamptz,
    -- A successor that was issued, never used and replaced by a sibling; a later use of it counts as reuse.
    retired_at timestamptz,
    check ((superseded_at is null) = (grace_until is null))
);
create index session_tokens_session on session_tokens (session_id, generation);

-- One-time links with which a user sets a new password. Created by an owner or an admin; we send no email of our own.
create table password_resets (
    tenant_id uuid not null,
    -- A user has one; another replaces it, and using it deletes it.
    user_id uuid not null,
    token_hash bytea not null constraint password_resets_token_hash_key unique check (octet_length(token_hash) = 32),
    -- Null if it was created from the command line.
    created_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (tenant_id, user_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);

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

-- Sign-in by others: a tenant's identity provider, whose tokens open sessions.
create table identity_providers (
    -- A tenant has one.
    tenant_id uuid primary key references tenants (id),
    -- What its tokens carry as `iss` and `aud`.
    issuer text not null check (length(issuer) between 1 and 500),
    audience text not null check (length(audience) between 1 and 500),
    -- Where a worker fetches the keys. Null: they were given, and stay until others are.
    jwks_url text check (length(jwks_url) between 1 and 500),
    -- A JSON Web Key Set (RFC 7517). Null until it was fetched.
    keys jsonb,
    fetched_at timestamptz,
    -- When a worker last asked for the keys, whatever it got.
    asked_at timestamptz,
    -- When a token last named a key that is not among them.
    wanted_at timestamptz,
    -- Why the last answer was of no use.
    last_error text,
    created_at timestamptz not null default now(),
    check (jwks_url is not null or keys is not null)
);

-- Tokens that have opened a session: each does so once. Maintenance deletes those that have expired.
create table exchanged_tokens (
    tenant_id uuid not null references tenants (id),
    -- sha256 of what is signed.
    token_hash bytea not null check (octet_length(token_hash) = 32),
    expires_at timestamptz not null,
    primary key (tenant_id, token_hash)
);
create index exchanged_tokens_expires_at on exchanged_tokens (expires_at);

-- What programs authenticate with. A key is an identity of its own: it outlives its creator's session and account.
create table api_keys (
    tenant_id uuid not null references tenants (id),
    id uuid not null constraint api_keys_id_key unique,
    name text not null check (length(name) between 1 and 100),
    -- No key approves, manages access or reads what belongs to one person. Checked here too, against any writer.
    scopes text[] not null constraint api_keys_scopes_known check (cardinality(scopes) > 0 and scopes <@ array[
        'jobs:read', 'jobs:write', 'rules:read', 'rules:write', 'approvals:read', 'approvals:read_all', 'records:read',
        'records:write', 'history:read', 'audit:read']),
    -- Null: from any address.
    address_ranges cidr[] check (cardinality(address_ranges) between 1 and 20),
    -- Null if it was created from the command line.
    created_by uuid,
    created_at timestamptz not null default now(),
    -- Null: it does not expire.
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    -- As in sessions.
    audit_read_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 80); -- last_used_at is updated in place (HOT); no index may contain it
create index api_keys_live on api_keys (tenant_id, created_at) where revoked_at is null;

-- The tokens of a key: the newest, and those that were rotated away and are valid for a while.
create table api_key_tokens (
    -- sha256 over the kind of token and the token, as in session_tokens.
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    tenant_id uuid not null,
    api_key_id uuid not null,
    -- For people who compare a token with the list of keys.
    last4 text not null check (length(last4) = 4),
    issued_at timestamptz not null default now(),
    -- Null for the newest.
    valid_until timestamptz,
    foreign key (tenant_id, api_key_id) references api_keys (tenant_id, id) on delete cascade
);
create unique index api_key_tokens_newest on api_key_tokens (tenant_id, api_key_id) where valid_until is null;

-- Who may decide another user's drafts.
create table delegations (
    tenant_id uuid not null,
    user_id uuid not null,
    delegate_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, user_id, delegate_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id),
    foreign key (tenant_id, delegate_id) references users (tenant_id, id),
    check (user_id <> delegate_id)
);
create index delegations_delegate on delegations (tenant_id, delegate_id);

-- The users whose drafts and approvals this one reads and decides: themselves, those who let them, and those who are not
-- there, so that nobody else could. The nil id stands for nobody's. An API key (null) has only that.
--
-- Without a search path of its own, so that Postgres plans it as a part of the statement that calls it.
create function owners_decided_by(of_tenant uuid, reader uuid) returns setof uuid
    language sql stable rows 10 as $$
    select '00000000-0000-0000-0000-000000000000'::uuid
    union
    select reader where reader is not null
    union
    select user_id from delegations where tenant_id = of_tenant and delegate_id = reader
    union
    select id from users where tenant_id = of_tenant and status <> 'active' and reader is not null
$$;

-- Idempotency keys. The answer is stored in the transaction that did the work, and replayed to repeated requests.
create table request_keys (
    tenant_id uuid not null,
    actor_id uuid not null,
    operation text not null,
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- Null only inside the transaction that claims the key.
    status smallint,
    location text,
    body bytea,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (tenant_id, actor_id, operation, key)
);
create index request_keys_expires_at on request_keys (expires_at);
