-- Which mail an effect is about: a mail that was answered by an action of its own needs no draft any more.

alter table effects add column about uuid;
-- A mail that leaves the house has a Message-ID; an answer that is only to be written has none.
create index effects_answers on effects (tenant_id, about) where type = 'reply' and message_id is not null;
