-- What becomes of a mail that may have been sent when the provider cannot say whether it was.

alter table tenants add column unknown_sends text not null default 'ask' check (unknown_sends in ('ask', 'resend'));
