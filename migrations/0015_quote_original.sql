-- Whether drafts of answers have the original email below their text. Off, because it sends more than the model wrote.

alter table tenants add column quote_original boolean not null default false;
