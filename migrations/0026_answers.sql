-- Answers of models that are used again for the same question of the same tenant.

-- How long an answer is used again; null, the default: never. At most a day, because an answer tells of its email.
alter table tenants add column answer_cache_seconds int check (answer_cache_seconds between 60 and 86400);

alter table llm_calls drop constraint llm_calls_tier_check;
-- cache: an answer of before; no request was sent.
alter table llm_calls add constraint llm_calls_tier_check check (tier in ('standard', 'flex', 'batch', 'cache')) not valid;
alter table llm_calls validate constraint llm_calls_tier_check;

create table llm_answers (
    tenant_id uuid not null references tenants (id),
    -- Of the prompt without the time of day, the model and the schema.
    question_hash bytea not null check (octet_length(question_hash) = 32),
    completion jsonb not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, question_hash)
);
create index llm_answers_created_at on llm_answers (created_at);
