-- What the people of a tenant have answered by themselves: a draft for a thread that its user has written to since is
-- not sent.

-- One row for each mail that such a mail refers to.
create table own_mails (
    tenant_id uuid not null,
    message_id uuid not null,
    -- The Message-ID that it refers to, in angle brackets.
    refers_to text not null,
    -- It is the mail that was answered, and not only one of its thread.
    answers boolean not null,
    user_id uuid not null,
    sent_at timestamptz not null,
    primary key (tenant_id, refers_to, message_id, user_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id)
);
create index own_mails_message on own_mails (tenant_id, message_id);

-- When the mail was sent that a draft answers: what its user wrote since then in the thread is an answer.
alter table drafts add column answers_sent_at timestamptz;
create index drafts_unsent on drafts (tenant_id) where status in ('ready', 'approved', 'scheduled', 'sending', 'send_failed');

-- Mail that we sent ourselves comes back with the sent folder, and is nobody's answer by another program.
create index effects_message_id on effects (tenant_id, message_id) where message_id is not null;
