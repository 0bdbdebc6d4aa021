-- The email at which the connection broke off when a folder was last read, and how often in a row. It is passed over in the end,
-- so that one email does not keep a folder from being read.

alter table watched_folders
    add column broken_uid bigint check (broken_uid > 0),
    add column broken_tries int check (broken_tries > 0);
alter table watched_folders add constraint watched_folders_broken_check
    check ((broken_uid is null) = (broken_tries is null)) not valid;
alter table watched_folders validate constraint watched_folders_broken_check;

-- Reminders whose draft was given up are looked for every half a minute.
create index if not exists finished_jobs_discarded_drafts on finished_jobs (finished_at)
    where state = 'discarded' and kind = 'draft.generate';
