-- What people corrected: proposals that they rejected or changed, drafts that they revised or discarded. The next prompts
-- for the same person show a few of them as examples.

-- The email that was judged, as a correction names it. Triages of older workers have neither.
alter table triage_results
    add column sender text check (char_length(sender) <= 320),
    add column subject text check (char_length(subject) <= 200);

create table judgement_corrections (
    tenant_id uuid not null,
    -- One correction per approval: the last one counts.
    approval_id uuid not null,
    -- The person whose prompts learn from it.
    user_id uuid not null,
    kind text not null check (kind in ('rejected', 'changed', 'revised', 'discarded')),
    action_type text not null,
    -- Of the email; null if the draft answers none, or the email was judged by an older worker.
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
