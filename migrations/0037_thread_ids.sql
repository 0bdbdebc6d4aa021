-- Which emails belong to a thread, also where a mail server replaced the Message-ID that we gave one, and where an answer names
-- another email of the thread than the one that waits.

-- The Message-ID that the mail server gave an email instead of ours; null if it kept ours, or we do not know.
alter table effects add column server_message_id text;
create index if not exists effects_server_message_id on effects (tenant_id, server_message_id)
    where server_message_id is not null;

-- When the email was sent, as it says itself. Null in rows from before: those end no follow-up by another email of its thread.
alter table thread_answers add column sent_at timestamptz;

-- The other emails of the thread, by their Message-IDs in angle brackets. An answer to one of them ends the wait too if it was
-- sent later than the email that waits.
alter table follow_ups add column thread text[] not null default '{}';
create index if not exists follow_ups_thread on follow_ups using gin (thread) where status in ('waiting', 'reminded');
